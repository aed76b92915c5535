/** The bugs, each one step of the real code dropped or moved, and where to look for it. */
import type { Patch } from './plant.js';
import type { Choice } from './scenario.js';

export interface PlantedBug {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Where it does harm. */
  readonly choice: Choice;
  /** What must be found. */
  readonly harm: RegExp;
}

const SEQUENCE = 'quiesce/sequence.ts';

const RESUME = `    await timed('resume', () => {
      stopping = false; // tried once; what fails before that is undone
      return participants.resume();
    });
`;
const RELEASE = `    const { at: releasedAt } = await timed('release', () => channel.release(epoch));
`;
const STOP = `    stopping = true;
    await timed('stop', () => participants.stop(signal));
`;
const SWEEP = `    const swept = await timed('sweep', () => sweep(channel, epoch, method, bounds, within));
    const evidence = combine(method, drained, swept);
    if (options.requireProof === true) demandProof(evidence);
`;
const MARK = `    const marked = await timed('mark', () => channel.mark(epoch));
`;
const RECALL = `    recalled = await timed('recall', () =>
      settleUnready(
        channel,
        epoch,
        drained,
        { method, unready },
        (port) => participants.stops?.(port) ?? true,
      ),
    );
`;
const RESUMING = `      stopping = false; // tried once; what fails before that is undone
`;

/** Everything goes well but for guests that are slow. */
const calm: Choice = { unready: ['fail'], happenings: [], idle: false };
/** Everything goes wrong. */
const failing: Choice = { unready: ['fail'] };
/** Some guests take nothing, and what they have not read is kept. */
const keeping: Choice = { unready: ['keep'], happenings: [], methods: ['count', 'auto'] };

export const PLANTED: readonly PlantedBug[] = [
  {
    name: 'no sentinel: an empty ring is enough',
    patches: [
      { file: 'quiesce/drain.ts', find: '  await channel.sentinels(epoch);\n', put: '' },
      {
        file: 'quiesce/evidence.ts',
        find: "      if (!down.sentinelSent) return 'the sentinel could not be sent: frames before it are still unread';\n",
        put: '',
      },
    ],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'only one sentinel',
    patches: [{ file: 'switch/markers.ts', find: 'const SENTINELS = 2;', put: 'const SENTINELS = 1;' }],
    choice: { ...calm, idle: 'often' },
    harm: /takes nothing/,
  },
  {
    name: 'the qdisc is not looked at',
    patches: [
      {
        file: 'quiesce/evidence.ts',
        find: '      if (down.sendQueueBytes !== 0) return `${down.sendQueueBytes} bytes were left in the qdisc`;\n',
        put: '',
      },
    ],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'frames to a stopped guest: release before resume',
    patches: [{ file: SEQUENCE, find: RESUME + RELEASE, put: RELEASE + RESUME }],
    choice: { ...calm, happenings: ['stopAgain'] },
    harm: /lost/,
  },
  {
    name: 'release before all run',
    patches: [
      {
        file: SEQUENCE,
        find: RESUME + RELEASE,
        put: `    const resumed = timed('resume', () => {
${RESUMING}      return participants.resume();
    });
${RELEASE}    await resumed;
`,
      },
    ],
    choice: { ...calm, happenings: ['stopAgain'], phases: ['resume', 'release'] },
    harm: /lost/,
  },
  {
    name: 'mark after resume',
    patches: [
      { file: SEQUENCE, find: MARK, put: '    let marked = await channel.mark(epoch);\n' },
      { file: SEQUENCE, find: RESUME, put: `${RESUME}    marked = await channel.mark(epoch);\n` },
    ],
    choice: { ...calm, kinds: ['inPlace'] },
    harm: /orphan/,
  },
  {
    name: 'mark before the sweep',
    patches: [{ file: SEQUENCE, find: SWEEP + MARK, put: MARK + SWEEP }],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'no sweep',
    patches: [
      {
        file: SEQUENCE,
        find: "timed('sweep', () => sweep(channel, epoch, method, bounds, within))",
        put: "timed('sweep', () => channel.observe(epoch))",
      },
    ],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'no drain',
    patches: [
      {
        file: SEQUENCE,
        find: "timed('drain', () => drain(channel, epoch, method, bounds, within))",
        put: "timed('drain', () => Promise.resolve([]))",
      },
    ],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'stop before hold',
    patches: [
      {
        file: SEQUENCE,
        find: '  const { epoch, at: heldAt } = await channel.hold();\n  let stopping = false;\n',
        put: '  await participants.stop(signal);\n  const { epoch, at: heldAt } = await channel.hold();\n  let stopping = true;\n',
      },
      { file: SEQUENCE, find: STOP, put: '' },
    ],
    choice: calm,
    harm: /lost/,
  },
  {
    name: 'recall skipped',
    patches: [
      {
        file: SEQUENCE,
        find: "  if (policy.unready === 'keep') {\n",
        put: "  if (policy.unready === 'keep') {\n    return true;\n",
      },
    ],
    choice: keeping,
    harm: /lost/,
  },
  {
    name: 'recall after the stop',
    patches: [{ file: SEQUENCE, find: RECALL + STOP, put: STOP + RECALL }],
    choice: keeping,
    harm: /lost|order/,
  },
  {
    name: 'a failure resumes nobody',
    patches: [
      {
        file: SEQUENCE,
        find: '  await stopped?.resume().catch((error: unknown) => (failure = StillwireError.from(error)));\n',
        put: '',
      },
    ],
    choice: failing,
    harm: /does not run again/,
  },
  {
    name: 'a failure does not release',
    patches: [{ file: SEQUENCE, find: '  await channel.release(epoch).catch(() => undefined);', put: '' }],
    choice: failing,
    harm: /still held/,
  },
  {
    name: 'an abort after the save resumes nobody',
    patches: [
      {
        file: SEQUENCE,
        find: `    signal.throwIfAborted();
${RESUME}`,
        put: `    stopping = false;
    signal.throwIfAborted();
${RESUME.replace(RESUMING, '')}`,
      },
    ],
    choice: { ...calm, happenings: ['abort', 'lease', 'death'], phases: ['save'] },
    harm: /does not run again/,
  },
  {
    name: 'a stop that was not confirmed is not undone',
    patches: [
      {
        file: 'checkpoint/crew.ts',
        find: '      this.#stopped.add(guest); // before the answer: a stop that failed half-way must be resumed too\n      const ran = await guest.stop(signal);\n',
        put: '      const ran = await guest.stop(signal);\n      this.#stopped.add(guest);\n',
      },
    ],
    choice: failing,
    harm: /does not run again/,
  },
  {
    name: 'a second checkpoint may begin during the first',
    patches: [{ file: 'checkpoint/live-network.ts', find: '    this.#busy = true;\n', put: '' }],
    choice: { ...calm, happenings: ['overlap'], phases: ['save', 'resume'] },
    harm: /./,
  },
  {
    name: 'a hold lets frames pass',
    patches: [
      {
        file: 'switch/forwarder.ts',
        find: 'if (!this.#kept.held && to.egress.direct)',
        put: 'if (to.egress.direct)',
      },
    ],
    choice: calm,
    harm: /lost|order|orphan/,
  },
  {
    name: 'queues go on during a hold',
    patches: [{ file: 'switch/switch.ts', find: '    if (this.held) return inspected;\n', put: '' }],
    choice: calm,
    harm: /lost|order|orphan/,
  },
  {
    name: 'new frames overtake those that wait',
    patches: [
      {
        file: 'switch/egress.ts',
        find: 'return this.queue.length === 0 && this.#vlan === 0;',
        put: 'return this.#vlan === 0;',
      },
    ],
    choice: calm,
    harm: /order/,
  },
  {
    name: 'sentinels of past holds are forgotten by an image',
    patches: [{ file: 'switch/mark.ts', find: 'nonces: markers.nonces,', put: 'nonces: [],' }],
    choice: { ...calm, kinds: ['kill', 'inPlace'] },
    harm: /forwarded a sentinel/,
  },
  {
    name: 'a recall forgets what the hypervisor had taken',
    patches: [
      {
        file: 'switch/recall.ts',
        find: 'const copied = taken !== undefined && isFrame(taken);',
        put: 'const copied = false;',
      },
      {
        file: 'switch/recall.ts',
        find: '[...(copied ? [taken] : []), ...ring.filter(isFrame)]',
        put: 'ring.filter(isFrame)',
      },
    ],
    choice: keeping,
    harm: /lost/,
  },
  {
    name: 'what was taken back goes behind what came since',
    patches: [
      {
        file: 'hold-queue/queue.ts',
        find: '[...frames, ...this.frames()]',
        put: '[...this.frames(), ...frames]',
      },
    ],
    choice: keeping,
    harm: /order|doubled/,
  },
  {
    name: 'what the hypervisor of a paused guest kept is delivered once more',
    patches: [
      {
        file: 'switch/recalled.ts',
        find: '    if (!this.#stops || isWithGuest) this.#withdraw();\n',
        put: '',
      },
    ],
    choice: keeping,
    harm: /doubled/,
  },
  {
    name: 'a sweep does not look at what was taken back',
    patches: [
      {
        file: 'switch/recall.ts',
        find: '    for (const recalled of this.#recalled.values()) recalled.whenStopped();\n',
        put: '',
      },
    ],
    choice: { ...keeping, readMs: [1.5], slots: [2, 1] },
    harm: /doubled/,
  },
  {
    name: 'a failure after a recall resumes without looking',
    patches: [
      {
        file: SEQUENCE,
        find: '  if (recalled && stopped !== undefined) await channel.sweep(epoch).catch(() => undefined);\n',
        put: '',
      },
    ],
    choice: { ...keeping, happenings: ['abort', 'death'], phases: ['recall', 'stop'] },
    harm: /doubled/,
  },
  {
    name: 'an answer to the cookie of another hold counts',
    patches: [
      {
        file: 'switch/cookies.ts',
        find: 'question !== undefined && addressee === port && question.nonce === nonce',
        put: 'question !== undefined && addressee === port',
      },
    ],
    choice: { ...calm, methods: ['cookie'] },
    harm: /lost/,
  },
  {
    name: 'what was seen at the mark is looked at again when guests may run',
    patches: [{ file: 'switch/recalled.ts', find: 'this.#copied && !this.#marked', put: 'this.#copied' }],
    choice: {
      ...keeping,
      methods: ['count'],
      kinds: ['background'],
      readMs: [0.3, 1.5],
      happenings: ['saveFails'],
      phases: ['hold', 'save'],
    },
    harm: /lost/,
  },
];
