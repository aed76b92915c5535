import { describe, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { drain, methodOf, realTime, sweep, unreadyOf } from '../../src/quiesce/index.js';
import { observation, ScriptedChannel } from './scripted-channel.js';

const within = { time: realTime, signal: new AbortController().signal };
const bounds = { drainMs: 60, lingerMs: 0, quietMs: 20 };
const expired = new StillwireError('HOLD_EXPIRED', 'the lease ran out');

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const began = performance.now();
  const result = await work();
  return { ms: performance.now() - began, result };
}

describe('drain, count', () => {
  test('ends at once when the rings are empty, after exactly one round of sentinels', async () => {
    const channel = new ScriptedChannel();
    await drain(channel, 7, 'count', bounds, within);
    expect(channel.calls).toEqual(['sentinels', 'observe']);
  });

  test('waits for a slow guest and reports what was seen last', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ down: { ringEmpty: n >= 12 } })];
    const { result } = await timed(() => drain(channel, 7, 'count', bounds, within));
    expect(result[0]!.down.ringEmpty).toBe(true);
    expect(channel.order).toEqual(['sentinels']);
  });

  test.each([
    ['an unready guest', observation({ down: { ringEmpty: false } })],
    ['a guest with no room for a sentinel', observation({ down: { sentinelSent: false } })],
    ['a qdisc that does not empty', observation({ down: { sendQueueBytes: 10 } })],
  ])('%s is waited for, with a pause between two looks, and then given up', async (_name, seen) => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation(), seen];
    const { ms } = await timed(() => drain(channel, 7, 'count', bounds, within));
    expect(ms).toBeGreaterThanOrEqual(59);
    const late = channel.observedAt.filter((at) => at > channel.observedAt[0]! + 10);
    expect(late.length).toBeLessThan(60);
  });

  test('traffic still coming up is none of its business', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ up: { deviceFrames: 9, queueEmpty: false, socketDrops: 3 } })];
    await drain(channel, 7, 'count', bounds, within);
    expect(channel.calls).toEqual(['sentinels', 'observe']);
  });

  test('an external port and a network without ports are drained', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) =>
      n === 0 ? [observation({ kind: 'external', down: { sentinelSent: false } })] : [];
    await drain(channel, 7, 'count', bounds, within);
    expect(channel.observedAt).toHaveLength(1);
  });
});

describe('drain, cookie', () => {
  test('one marker to all ports, no sentinel; ends when all have answered', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [
      observation({ port: 'a', down: { ringEmpty: false, cookie: n >= 1 ? 'answered' : 'asked' } }),
      observation({ port: 'b', down: { sentinelSent: false, cookie: n >= 3 ? 'answered' : 'asked' } }),
    ];
    const seen = await drain(channel, 7, 'cookie', bounds, within);
    expect(seen.map(({ down }) => down.cookie)).toEqual(['answered', 'answered']);
    expect(channel.calls).toEqual(['cookies', 'observe', 'observe', 'observe', 'observe']);
  });

  test('a guest that does not answer is waited for until the bound', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ down: { cookie: 'asked' } })];
    const { ms, result } = await timed(() => drain(channel, 7, 'cookie', bounds, within));
    expect(ms).toBeGreaterThanOrEqual(59);
    expect(result[0]!.down.cookie).toBe('asked');
  });

  test('one whom nobody can ask is not waited for', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ down: { ringEmpty: false } }), observation({ kind: 'external' })];
    await drain(channel, 7, 'cookie', bounds, within);
    expect(channel.calls).toEqual(['cookies', 'observe']);
  });
});

describe('drain, auto', () => {
  test('where the kernel can prove all ports, nobody is asked', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ port: 'a' }), observation({ port: 'b' })];
    await drain(channel, 7, 'auto', bounds, within);
    expect(channel.order).toEqual(['sentinels']);
  });

  test('sentinels to all, a marker to those only at which the kernel shows too little; its answer is awaited', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [
      observation({ port: 'a' }),
      observation({ port: 'b', kernelProof: false, down: { cookie: n >= 5 ? 'answered' : 'asked' } }),
      observation({ port: 'c', kernelProof: false }),
    ];
    const seen = await drain(channel, 7, 'auto', bounds, within);
    expect(channel.order).toEqual(['sentinels', 'cookies b,c']);
    expect(seen.map(({ down }) => down.cookie)).toEqual(['unasked', 'answered', 'unasked']);
    expect(channel.observedAt).toHaveLength(6);
  });

  test('an answer that never comes is given up at the bound; the port is judged by what the kernel shows', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ kernelProof: false, down: { cookie: 'asked' } })];
    const { ms, result } = await timed(() => drain(channel, 7, 'auto', bounds, within));
    expect(ms).toBeGreaterThanOrEqual(59);
    expect(methodOf('auto', result[0]!)).toBe('count');
    expect(unreadyOf('auto', result)).toEqual([]);
  });
});

describe('sweep, cookie', () => {
  test('no sums are compared: one look, when the queue is empty', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ up: { deviceFrames: 99, socketDrops: 1 } })];
    await sweep(channel, 7, 'cookie', bounds, within);
    expect(channel.calls).toEqual(['sweep', 'observe']);
  });

  test('a queue that is not empty is emptied first', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ up: { queueEmpty: n >= 2, deviceFrames: 99 } })];
    await sweep(channel, 7, 'cookie', bounds, within);
    expect(channel.calls).toEqual(Array.from({ length: 3 }, () => ['sweep', 'observe']).flat());
  });

  test('auto: sums are waited for where they are the proof, and only there', async () => {
    const channel = new ScriptedChannel();
    const weak = observation({
      kernelProof: false,
      down: { cookie: 'answered' },
      up: { deviceFrames: 99 },
    });
    channel.observes = (n) => [observation({ up: { deviceFrames: n < 2 ? 6 : 5 } }), weak];
    await sweep(channel, 7, 'auto', bounds, within);
    expect(channel.observedAt).toHaveLength(3);
  });
});

describe('sweep, count', () => {
  test('asks again until the sums meet', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ up: { deviceFrames: n < 3 ? 4 : 5 } })];
    const seen = await sweep(channel, 7, 'count', bounds, within);
    expect(seen[0]!.up.deviceFrames).toBe(5);
    expect(channel.calls).toEqual(Array.from({ length: 4 }, () => ['sweep', 'observe']).flat());
  });

  test('gives up soon, with what it saw, when they never do', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [observation({ up: { deviceFrames: 6 } })];
    const seen = await sweep(channel, 7, 'count', bounds, within);
    expect(seen[0]!.up.deviceFrames).toBe(6);
  });

  test('known losses and external traffic do not make it wait', async () => {
    const channel = new ScriptedChannel();
    channel.observes = () => [
      observation({ up: { deviceFrames: 7, socketDrops: 2 } }),
      observation({ kind: 'external', up: { queueEmpty: false } }),
    ];
    await sweep(channel, 7, 'count', bounds, within);
    expect(channel.observedAt).toHaveLength(1);
  });
});

describe('quiet', () => {
  test('waits before the stop, sends no sentinels', async () => {
    const channel = new ScriptedChannel();
    const { ms } = await timed(() => drain(channel, 7, 'quiet', bounds, within));
    expect(ms).toBeGreaterThanOrEqual(19);
    expect(channel.order).toEqual([]);
  });

  test('an arrival starts the wait again', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ up: { receivedFrames: Math.min(n, 3) } })];
    const { ms } = await timed(() => sweep(channel, 7, 'quiet', bounds, within));
    expect(channel.observedAt).toHaveLength(5); // 0, 1, 2, 3, 3
    expect(ms).toBeGreaterThanOrEqual(4 * 19);
  });

  test('arrivals without end are given up after ten waits', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ up: { receivedFrames: n } })];
    const began = performance.now();
    await expect(sweep(channel, 7, 'quiet', bounds, within)).rejects.toMatchObject({
      code: 'NOT_QUIET',
      exitCode: 6,
    });
    expect(performance.now() - began).toBeGreaterThanOrEqual(190);
  });

  test('arrivals on an external port are not waited for', async () => {
    const channel = new ScriptedChannel();
    channel.observes = (n) => [observation({ kind: 'external', up: { receivedFrames: n } }), observation()];
    await sweep(channel, 7, 'quiet', bounds, within);
    expect(channel.observedAt).toHaveLength(2);
  });
});

const endless = { drainMs: 60_000, lingerMs: 0, quietMs: 60_000 };
test.each([
  [
    'drain count',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      drain(channel, 7, 'count', endless, { time: realTime, signal }),
  ],
  [
    'drain quiet',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      drain(channel, 7, 'quiet', endless, { time: realTime, signal }),
  ],
  [
    'drain cookie',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      drain(channel, 7, 'cookie', endless, { time: realTime, signal }),
  ],
  [
    'drain auto',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      drain(channel, 7, 'auto', endless, { time: realTime, signal }),
  ],
  [
    'sweep cookie',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      sweep(channel, 7, 'cookie', endless, { time: realTime, signal }),
  ],
  [
    'sweep quiet',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      sweep(channel, 7, 'quiet', endless, { time: realTime, signal }),
  ],
  [
    'sweep count',
    (signal: AbortSignal, channel: ScriptedChannel) =>
      sweep(channel, 7, 'count', endless, { time: realTime, signal }),
  ],
])('%s: the end of the lease ends it, with the reason', async (_name, work) => {
  const channel = new ScriptedChannel();
  const lease = new AbortController();
  channel.observes = (n) => {
    if (n >= 3) lease.abort(expired); // in the middle of a loop that asks again and again
    const down = { ringEmpty: false, cookie: 'asked' as const };
    const up = { receivedFrames: n, deviceFrames: -1, queueEmpty: false };
    return [observation({ kernelProof: false, down, up })];
  };
  setTimeout(() => lease.abort(expired), 12); // or of a wait
  await expect(work(lease.signal, channel)).rejects.toBe(expired);
});
