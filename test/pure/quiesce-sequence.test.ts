import { describe, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import {
  judge,
  PHASES,
  runSequence,
  type Participants,
  type SequenceOptions,
} from '../../src/quiesce/index.js';
import { observation, ScriptedChannel } from './scripted-channel.js';

const never = new AbortController().signal;
const boom = new Error('boom');

/** Participants that write into the channel's list of calls. */
function participants(channel: ScriptedChannel): Participants {
  const step = async (name: string): Promise<void> => {
    channel.calls.push(name);
    await Promise.resolve();
    const failure = channel.failing.get(name);
    if (failure !== undefined) throw failure;
  };
  return { stop: () => step('stop'), resume: () => step('resume') };
}

function run(channel: ScriptedChannel, options: Partial<SequenceOptions> = {}) {
  const save = async (marked: string): Promise<string> => {
    channel.calls.push('save');
    await Promise.resolve();
    const failure = channel.failing.get('save');
    if (failure !== undefined) throw failure;
    return `saved ${marked}`;
  };
  return runSequence(channel, participants(channel), save, { method: 'count', signal: never, ...options });
}

const ORDER = ['hold', 'sentinels', 'stop', 'sweep', 'mark', 'save', 'resume', 'release'];

test('the order of the protocol, and what comes out of it', async () => {
  const channel = new ScriptedChannel();
  const phases: string[] = [];
  const cut = await run(channel, { onPhase: (phase, ms) => phases.push(ms >= 0 ? phase : 'negative') });
  expect(channel.order).toEqual(ORDER);
  expect(phases).toEqual([...PHASES]);
  expect(cut).toMatchObject({ marked: 'the mark', saved: 'saved the mark', heldAt: 100, releasedAt: 200 });
  const { kernelProof: _, ...seen } = observation();
  expect(cut.evidence).toEqual([{ ...seen, method: 'count' }]);
});

test('with stayHeld it ends after the save: nobody is resumed, nothing is released', async () => {
  const channel = new ScriptedChannel();
  const cut = await run(channel, { stayHeld: true });
  expect(channel.order).toEqual(ORDER.slice(0, 6));
  expect(cut).not.toHaveProperty('releasedAt');
});

describe('a failure', () => {
  test('of the hold leaves nothing to undo', async () => {
    const channel = new ScriptedChannel();
    channel.failing.set('hold', boom);
    await expect(run(channel)).rejects.toBe(boom);
    expect(channel.order).toEqual(['hold']);
  });

  test.each(['sentinels', 'observe'])(
    'of %s before the stop: released once, nobody resumed',
    async (step) => {
      const channel = new ScriptedChannel();
      channel.failing.set(step, boom);
      await expect(run(channel)).rejects.toBe(boom);
      expect(channel.order).toEqual(['hold', 'sentinels', 'release']);
    },
  );

  test.each(['stop', 'sweep', 'mark', 'save'])('of %s: resumed once, then released once', async (step) => {
    const channel = new ScriptedChannel();
    channel.failing.set(step, boom);
    await expect(run(channel)).rejects.toBe(boom);
    expect(channel.order).toEqual([...ORDER.slice(0, ORDER.indexOf(step) + 1), 'resume', 'release']);
  });

  test.each([true, false])('of save with stayHeld %s is undone alike', async (stayHeld) => {
    const channel = new ScriptedChannel();
    channel.failing.set('save', boom);
    await expect(run(channel, { stayHeld })).rejects.toBe(boom);
    expect(channel.order.slice(-2)).toEqual(['resume', 'release']);
  });

  test('of resume: not resumed again, released once', async () => {
    const channel = new ScriptedChannel();
    channel.failing.set('resume', boom);
    await expect(run(channel)).rejects.toBe(boom);
    expect(channel.order).toEqual(ORDER);
  });

  test('of save and of resume and of release: the first is the one told', async () => {
    const channel = new ScriptedChannel();
    channel.failing.set('save', boom);
    channel.failing.set('release', new Error('ended already'));
    await expect(run(channel)).rejects.toBe(boom);
    channel.failing.set('resume', new Error('vm is stuck'));
    await expect(run(channel)).rejects.toThrow(/^boom; then resuming failed: vm is stuck$/);
    expect(channel.order.slice(-2)).toEqual(['resume', 'release']);
  });

  test('of a listener to phases does not leave the network held', async () => {
    for (const phase of ['hold', 'stop', 'save', 'resume', 'release']) {
      const channel = new ScriptedChannel();
      const onPhase = (name: string): void => {
        if (name === phase) throw boom;
      };
      await expect(run(channel, { onPhase }), phase).rejects.toBe(boom);
      expect(channel.order, phase).toContain('release');
      expect(channel.order.filter((call) => call === 'resume').length, phase).toBe(
        channel.order.includes('stop') ? 1 : 0,
      );
    }
  });
});

describe('an abort or the end of the lease', () => {
  const expired = new StillwireError('HOLD_EXPIRED', 'the lease ran out');

  test('before the hold: nothing is touched', async () => {
    const channel = new ScriptedChannel();
    await expect(run(channel, { signal: AbortSignal.abort(expired) })).rejects.toBe(expired);
    expect(channel.calls).toEqual([]);
  });

  test.each(['hold', 'stop', 'mark', 'save'])('during %s: undone, with the reason', async (step) => {
    const channel = new ScriptedChannel();
    const lease = new AbortController();
    const onPhase = (phase: string): void => {
      if (phase === step) lease.abort(expired);
    };
    await expect(run(channel, { signal: lease.signal, onPhase })).rejects.toBe(expired);
    expect(channel.order.filter((call) => call === 'release')).toHaveLength(1);
    expect(channel.order.at(-1)).toBe('release');
    expect(channel.order.includes('resume')).toBe(step !== 'hold');
  });

  test('once a save that ends the machines is through, nothing is undone: there is nobody to resume', async () => {
    const channel = new ScriptedChannel();
    const lease = new AbortController();
    const onPhase = (phase: string): void => {
      if (phase === 'save') lease.abort(expired);
    };
    await run(channel, { signal: lease.signal, onPhase, stayHeld: true });
    expect(channel.order.at(-1)).toBe('save');
  });

  test('during the long wait of quiet: undone, with the reason', async () => {
    const channel = new ScriptedChannel();
    const lease = new AbortController();
    setTimeout(() => lease.abort(expired), 20);
    const options = { signal: lease.signal, method: 'quiet' as const, bounds: { quietMs: 5000 } };
    await expect(run(channel, options)).rejects.toBe(expired);
    expect(channel.order).toEqual(['hold', 'release']);
  });
});

const deafAt = (port: string) => observation({ port, down: { ringEmpty: false } });

describe('an unready guest', () => {
  const unready = (channel: ScriptedChannel): void => {
    channel.observes = () => [observation({ port: 'a/nic0' }), deafAt('b/nic0'), deafAt('c/nic0')];
  };

  test('is refused before anything is stopped, with the ports and the reason, and nothing is taken back', async () => {
    const channel = new ScriptedChannel();
    unready(channel);
    const refused = run(channel, { bounds: { drainMs: 5 } });
    await expect(refused).rejects.toMatchObject({
      code: 'PORT_UNREADY',
      details: { ports: [{ port: 'b/nic0' }, { port: 'c/nic0' }] },
    });
    await expect(refused).rejects.toThrow(/b\/nic0: the guest did not read its ring empty/);
    expect(channel.order).toEqual(['hold', 'sentinels', 'release']);
  });

  test('is kept when asked for: recalled behind the drain, before the stop, each as it will be stopped or not', async () => {
    const channel = new ScriptedChannel();
    unready(channel);
    const crew = { ...participants(channel), stops: (port: string) => port !== 'c/nic0' };
    const options = { method: 'count', unready: 'keep', bounds: { drainMs: 5 }, signal: never } as const;
    const cut = await runSequence(channel, crew, (marked) => Promise.resolve(marked), options);
    const [hold, sentinels, ...rest] = ORDER.filter((step) => step !== 'save');
    expect(channel.order).toEqual([hold, sentinels, 'recall b/nic0,c/nic0 as it is', ...rest]);
    expect(cut.evidence.map(judge).map(({ proven }) => proven)).toEqual([true, false, false]);
  });

  test('what was taken back is told, though it was so after the drain', async () => {
    const channel = new ScriptedChannel();
    let recalled = 0;
    channel.recall = () => Promise.resolve(void (recalled = 7));
    channel.observes = () => [observation({ down: { ringEmpty: false, recalled } })];
    const { evidence } = await run(channel, { unready: 'keep', bounds: { drainMs: 5 } });
    expect(judge(evidence[0]!).reason).toMatch(/^7 frames .* taken back/);
  });

  test('a failure of the recall is undone like any other, and nobody has been stopped', async () => {
    const channel = new ScriptedChannel();
    unready(channel);
    channel.failing.set('recall b/nic0,c/nic0', boom);
    await expect(run(channel, { unready: 'keep', bounds: { drainMs: 5 } })).rejects.toBe(boom);
    expect(channel.order).toEqual(['hold', 'sentinels', 'recall b/nic0,c/nic0', 'release']);
  });

  test('is none for quiet, which does not look', async () => {
    const channel = new ScriptedChannel();
    unready(channel);
    await run(channel, { method: 'quiet', bounds: { quietMs: 5 } });
    expect([...new Set(channel.order)]).toEqual(ORDER.filter((step) => step !== 'sentinels'));
  });
});

describe('requireProof', () => {
  test('an unready guest that is kept: refused after the sweep, everything undone', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation(), deafAt('b/nic0')];
    const refused = run(channel, { requireProof: true, unready: 'keep', bounds: { drainMs: 5 } });
    await expect(refused).rejects.toMatchObject({
      code: 'NOT_PROVEN',
      details: { ports: [{ port: 'b/nic0' }] },
    });
    await expect(refused).rejects.toThrow(/b\/nic0: the guest did not read/);
    expect(channel.order.slice(2)).toEqual(['recall b/nic0', 'stop', 'sweep', 'resume', 'release']);
  });

  test('quiet can never be proven: refused before anything is stopped', async () => {
    const channel = new ScriptedChannel();
    const options = { requireProof: true, method: 'quiet' as const, bounds: { quietMs: 5 } };
    await expect(run(channel, options)).rejects.toMatchObject({ code: 'NOT_PROVEN' });
    expect(channel.order).toEqual(['hold', 'release']);
  });

  test('without it the cut is taken and says unproven', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ down: { ringEmpty: false } })];
    const { evidence } = await run(channel, { unready: 'keep', bounds: { drainMs: 5 } });
    expect(evidence[0]!.down.ringEmpty).toBe(false);
  });
});
