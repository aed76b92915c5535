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

function run(
  channel: ScriptedChannel,
  options: Partial<SequenceOptions> = {},
  more: Partial<Participants> = {},
) {
  const save = async (marked: string): Promise<string> => {
    channel.calls.push('save');
    await Promise.resolve();
    const failure = channel.failing.get('save');
    if (failure !== undefined) throw failure;
    return `saved ${marked}`;
  };
  const taking = { ...participants(channel), ...more };
  return runSequence(channel, taking, save, { method: 'count', signal: never, ...options });
}

const ORDER = ['hold', 'sentinels', 'stop', 'sweep', 'mark', 'save', 'resume', 'release'];

test('the order of the protocol, and what comes out of it', async () => {
  const channel = new ScriptedChannel();
  const phases: string[] = [];
  const cut = await run(channel, { onPhase: (phase, ms) => phases.push(ms >= 0 ? phase : 'negative') });
  expect(channel.order).toEqual(ORDER);
  expect(phases).toEqual([...PHASES]);
  expect(cut).toMatchObject({ marked: 'the mark', saved: 'saved the mark', heldAt: 100, releasedAt: 200 });
  const { port, kind, down, up } = observation();
  expect(cut.evidence).toEqual([{ port, kind, method: 'count', down, up }]);
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

describe('requireProof', () => {
  test('a port that is not proven: refused after the sweep, with the port and the reason, everything undone', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [
      observation(),
      observation({ port: 'b/nic0', up: { deviceFrames: 6, socketDrops: 1 } }),
    ];
    const refused = run(channel, { requireProof: true, bounds: { drainMs: 5 } });
    await expect(refused).rejects.toMatchObject({
      code: 'NOT_PROVEN',
      details: { ports: [{ port: 'b/nic0' }] },
    });
    await expect(refused).rejects.toThrow(/b\/nic0: 1 frames from the guest overran/);
    expect(channel.order).toEqual(['hold', 'sentinels', 'stop', 'sweep', 'resume', 'release']);
  });

  test('what was kept of an unready guest is no proof', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ down: { ringEmpty: false, recalled: 2 } })];
    const options = { requireProof: true, unready: 'keep', bounds: { drainMs: 5 } } as const;
    await expect(run(channel, options)).rejects.toMatchObject({ code: 'NOT_PROVEN' });
    expect(channel.order.slice(-2)).toEqual(['resume', 'release']);
  });

  test('quiet can never be proven: refused before anything is stopped', async () => {
    const channel = new ScriptedChannel();
    const options = { requireProof: true, method: 'quiet' as const, bounds: { quietMs: 5 } };
    await expect(run(channel, options)).rejects.toMatchObject({ code: 'NOT_PROVEN' });
    expect(channel.order).toEqual(['hold', 'release']);
  });

  test('without it the cut is taken and says unproven', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ up: { queueEmpty: false } })];
    const { evidence } = await run(channel);
    expect(evidence[0]!.up.queueEmpty).toBe(false);
  });
});

describe('a guest that takes nothing', () => {
  const unread = { down: { ringEmpty: false } };
  const bounds = { drainMs: 5 };

  test('given up by default, before anything is stopped, with every such port and its reason', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [
      observation({ port: 'a/nic0', ...unread }),
      observation({ port: 'b/nic0' }),
      observation({ port: 'c/nic0', down: { sentinelSent: false } }),
    ];
    const refused = run(channel, { bounds });
    await expect(refused).rejects.toMatchObject({
      code: 'PORT_UNREADY',
      details: { ports: [{ port: 'a/nic0' }, { port: 'c/nic0' }] },
    });
    await expect(refused).rejects.toThrow(/a\/nic0: the guest did not read.*; c\/nic0: the sentinel/);
    expect(channel.order).toEqual(['hold', 'sentinels', 'release']);
  });

  test('kept: recalled after the drain and before the stop, that port alone', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ port: 'a/nic0', ...unread }), observation({ port: 'b/nic0' })];
    await run(channel, { bounds, unready: 'keep' });
    expect(channel.order).toEqual(['hold', 'sentinels', 'recall a/nic0', ...ORDER.slice(2)]);
  });

  test('what was taken back is told, though it was so after the drain', async () => {
    const channel = new ScriptedChannel();
    let recalled = 0;
    channel.recall = () => Promise.resolve(void (recalled = 7));
    channel.observes = () => [observation({ down: { ringEmpty: false, recalled } })];
    const { evidence } = await run(channel, { unready: 'keep', bounds });
    expect(judge(evidence[0]!).reason).toMatch(/^7 frames .* taken back/);
  });

  test('the recall is told whose machine will not be stopped', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => ['a/nic0', 'b/nic0'].map((port) => observation({ port, ...unread }));
    const stops = (port: string): boolean => port !== 'b/nic0';
    await run(channel, { bounds, unready: 'keep' }, { stops });
    expect(channel.order[2]).toBe('recall a/nic0,b/nic0 as it is');
  });

  test('a recall that fails: released, nobody resumed', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ port: 'a/nic0', ...unread })];
    channel.failing.set('recall a/nic0', boom);
    await expect(run(channel, { bounds, unready: 'keep' })).rejects.toBe(boom);
    expect(channel.order).toEqual(['hold', 'sentinels', 'recall a/nic0', 'release']);
  });

  test('cookie: who does not answer is unready; who cannot be asked is not, and the cut says so', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ port: 'a/nic0', down: { cookie: 'asked' } })];
    await expect(run(channel, { method: 'cookie', bounds })).rejects.toThrow(/a\/nic0: .*did not answer/);
    channel.observes = () => [observation({ port: 'a/nic0' })];
    const { evidence } = await run(channel, { method: 'cookie', bounds });
    expect(evidence.map(judge)).toMatchObject([{ proven: false, reason: /nobody/ }]);
  });

  test('quiet does not look', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation(unread)];
    await run(channel, { method: 'quiet', bounds: { quietMs: 1 } });
    expect(channel.order.at(-1)).toBe('release');
  });
});

describe('beforePhase', () => {
  test('is called before every phase, in order', async () => {
    const channel = new ScriptedChannel();
    const told: string[] = [];
    const beforePhase = (phase: string): Promise<void> => {
      told.push(`${phase} after ${channel.order.at(-1) ?? 'nothing'}`);
      return Promise.resolve();
    };
    await run(channel, { beforePhase });
    expect(told).toEqual([
      'hold after nothing',
      'drain after hold',
      'recall after sentinels',
      'stop after sentinels',
      'sweep after stop',
      'mark after sweep',
      'save after mark',
      'resume after save',
      'release after resume',
    ]);
  });

  test.each(PHASES)('a failure before %s: nobody stays stopped, nothing stays held', async (phase) => {
    const channel = new ScriptedChannel();
    const beforePhase = (next: string): Promise<void> =>
      next === phase ? Promise.reject(boom) : Promise.resolve();
    await expect(run(channel, { beforePhase })).rejects.toBe(boom);
    const times = (call: string): number => channel.order.filter((made) => made === call).length;
    expect(times('release')).toBe(times('hold'));
    if (times('stop') === 1) expect(times('resume')).toBe(1);
  });
});
