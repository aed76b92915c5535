/** `restart` and `restore`: a stored checkpoint becomes a running network again. */
import type { RestartReport } from '../checkpoint/index.js';
import type { RestartJob, RestoreJob } from '../daemon/index.js';
import { defineCommand } from './command.js';
import { counted, facts, milliseconds } from './format.js';
import { option, parseDuration } from './options.js';
import { find, type Found } from './places.js';
import { runJob } from './run-job.js';
import type { Session } from './session.js';

interface FromImageFlags {
  readonly as?: string;
  readonly foreground?: true;
}

const fromImageOptions = () => [
  option('--as <name>', 'bring it up as a network of another name, beside the original'),
  option('--foreground', 'do not return; ^C takes the network down'),
];

const placesOf = (session: Session, { path, own }: Found, as: string | undefined) => ({
  directory: path,
  state: session.stateDirectory,
  ...(own !== undefined && { checkpoints: own }),
  ...(as !== undefined && { as }),
});

const describeRestart = ({ name, network, restartMs, reinjectedFrames, guests }: RestartReport): string =>
  [
    `${network} runs again, as it was at checkpoint ${name}, after ${milliseconds(restartMs)}: ${counted(reinjectedFrames, 'frame')} reinjected`,
    facts(guests.map((guest) => [guest.name, guest.state])),
  ]
    .join('\n')
    .trimEnd();

export const restart = defineCommand<FromImageFlags & { readonly forceDisks?: true }>({
  usage: 'restart <checkpoint>',
  group: 'network',
  summary: 'bring a checkpoint back to life, guests and frames',
  description: `Verifies the checkpoint, creates new TAPs, loads every guest, puts the in-flight frames back in their order and
lets everything carry on. Returns when the last guest runs; the network then runs on by itself.`,
  options: [
    ...fromImageOptions(),
    option('--force-disks', 'the disks that the checkpoint did not save are as they were when it was taken'),
  ],
  undoes: true,
  async run(session, [name = ''], { as, foreground, forceDisks }) {
    const found = await find(session, name);
    const job: RestartJob = {
      kind: 'restart',
      ...placesOf(session, found, as),
      startedAtMs: session.startedAtMs,
      ...(forceDisks && { forceDisks }),
    };
    return runJob(session, job, foreground === true, (report) =>
      session.document(report, () => describeRestart(report)),
    );
  },
});

export const restore = defineCommand<FromImageFlags & { readonly lease?: number }>({
  usage: 'restore <checkpoint>',
  group: 'quiesce',
  summary: "bring a mark's network and frames back, held",
  description: `Creates the network of an image made by \`mark\` and puts its in-flight frames back, held. Bring your machines
back, then \`stillwire release\`; when the lease ends first, the network flows by itself.`,
  options: [
    ...fromImageOptions(),
    option('--lease <duration>', 'how long the network stays held at most (default 5m)', parseDuration),
  ],
  undoes: true,
  async run(session, [name = ''], { as, foreground, lease }) {
    const found = await find(session, name);
    const job: RestoreJob = {
      kind: 'restore',
      ...placesOf(session, found, as),
      ...(lease !== undefined && { leaseMs: lease }),
    };
    return runJob(session, job, foreground === true, (report) =>
      session.document(report, () => {
        const { network, reinjectedFrames, leaseMs } = report;
        return `${network} is back and held with ${counted(reinjectedFrames, 'frame')}, for ${milliseconds(leaseMs)} at most\n  \`stillwire release -n ${network}\` lets it flow`;
      }),
    );
  },
});
