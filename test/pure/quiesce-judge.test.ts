import { expect, test } from 'vitest';
import { combine, isProven, judge, methodOf, unreadyOf, type PortEvidence } from '../../src/quiesce/index.js';
import { observation } from './scripted-channel.js';

const evidence = (over: Parameters<typeof observation>[0] = {}): PortEvidence => ({
  ...observation(over),
  method: 'count',
});

test.each<[string, PortEvidence, RegExp | undefined]>([
  ['a drained guest', evidence(), undefined],
  ['no sentinel', evidence({ down: { sentinelSent: false } }), /sentinel/],
  ['an unread ring', evidence({ down: { ringEmpty: false } }), /ring/],
  ['bytes in the qdisc', evidence({ down: { sendQueueBytes: 1 } }), /qdisc/],
  ['a drop towards the guest', evidence({ down: { droppedSinceHold: 1 } }), /dropped 1/],
  ['frames still arriving', evidence({ up: { queueEmpty: false } }), /arriving/],
  ['an overrun', evidence({ up: { socketDrops: 2, deviceFrames: 7 } }), /2 frames/],
  ['a frame the device took and nobody received', evidence({ up: { deviceFrames: 6 } }), /took 6.*5 were/],
  ['a frame received that the device never took', evidence({ up: { deviceFrames: 4 } }), /took 4/],
  ['a device needs no sentinel', evidence({ kind: 'device', down: { sentinelSent: false } }), undefined],
  ['a device that dropped', evidence({ kind: 'device', up: { socketDrops: 1 } }), /1 frames/],
  ['a device with frames waiting', evidence({ kind: 'device', up: { queueEmpty: false } }), /arriving/],
  [
    'an external port, whatever it shows',
    evidence({ kind: 'external', up: { queueEmpty: false, socketDrops: 9 } }),
    undefined,
  ],
  ['quiet', { ...evidence(), method: 'quiet' }, /quiet/],
  ['quiet, external', { ...evidence({ kind: 'external' }), method: 'quiet' }, undefined],
])('%s', (_name, given, reason) => {
  const verdict = judge(given);
  expect(verdict.proven).toBe(reason === undefined);
  if (reason === undefined) expect(verdict).not.toHaveProperty('reason');
  else expect(verdict.reason).toMatch(reason);
});

const cookie = (over: Parameters<typeof observation>[0] = {}): PortEvidence => ({
  ...observation(over),
  method: 'cookie',
});
const answered = { cookie: 'answered' } as const;

test.each<[string, PortEvidence, RegExp | undefined]>([
  ['an answer', cookie({ down: answered }), undefined],
  [
    'an answer, whatever the kernel shows',
    cookie({
      down: {
        ...answered,
        sentinelSent: false,
        ringEmpty: false,
        sendQueueBytes: 7,
        droppedSinceHold: 3,
      },
      up: { deviceFrames: 77, socketDrops: 9 },
    }),
    undefined,
  ],
  ['no answer', cookie({ down: { cookie: 'asked' } }), /did not answer/],
  ['nobody to answer', cookie(), /nobody.*known/],
  ['an answer, and frames taken back', cookie({ down: { ...answered, recalled: 2 } }), /2 frames/],
  ['frames still arriving', cookie({ down: answered, up: { queueEmpty: false } }), /arriving/],
  ['a queue that may have been full', cookie({ down: answered, up: { mayHaveOverrun: true } }), /full/],
  ['a device without an answer', cookie({ kind: 'device' }), undefined],
  [
    'a device whose ring may have been full',
    cookie({ kind: 'device', up: { mayHaveOverrun: true } }),
    /full/,
  ],
  ['a datagram port that answered', cookie({ kind: 'dgram', down: answered }), undefined],
  ['a datagram port that did not', cookie({ kind: 'dgram' }), /nobody/],
  ['an external port', cookie({ kind: 'external', up: { mayHaveOverrun: true } }), undefined],
  [
    'count: a TAP whose queue may have been full, but whose frames all came',
    evidence({ up: { mayHaveOverrun: true } }),
    undefined,
  ],
  [
    'count: a datagram port whose queue may have been full',
    evidence({ kind: 'dgram', up: { mayHaveOverrun: true } }),
    /full/,
  ],
  ['count: frames taken back', evidence({ down: { recalled: 1 } }), /1 frames/],
  [
    'count: an answer does not stand for the ring',
    evidence({ down: { ...answered, ringEmpty: false } }),
    /ring/,
  ],
])('cookie and its neighbours: %s', (_name, given, reason) => {
  const verdict = judge(given);
  expect(verdict.proven).toBe(reason === undefined);
  if (reason !== undefined) expect(verdict.reason).toMatch(reason);
});

test.each([
  ['count', true, 'answered', 'count'],
  ['cookie', true, 'unasked', 'cookie'],
  ['quiet', false, 'answered', 'quiet'],
  ['auto', true, 'answered', 'count'],
  ['auto', true, 'unasked', 'count'],
  ['auto', false, 'answered', 'cookie'],
  ['auto', false, 'asked', 'count'],
  ['auto', false, 'unasked', 'count'],
] as const)('%s, kernel proof %s, cookie %s: judged by %s', (asked, kernelProof, state, used) => {
  expect(methodOf(asked, observation({ kernelProof, down: { cookie: state } }))).toBe(used);
});

test('auto judges each port by the strongest proof that was to be had at it', () => {
  const seen = [
    observation({ port: 'strong' }),
    observation({ port: 'weak', kernelProof: false, down: answered, up: { deviceFrames: 99 } }),
    observation({ port: 'mute', kernelProof: false, up: { deviceFrames: 99 } }),
  ];
  const combined = combine('auto', seen, seen);
  expect(combined.map(({ port, method }) => [port, method])).toEqual([
    ['strong', 'count'],
    ['weak', 'cookie'],
    ['mute', 'count'],
  ]);
  expect(combined.map((port) => judge(port).proven)).toEqual([true, true, false]);
});

test('an answer that comes after the drain does not count: the guest was not seen to have received', () => {
  const drained = [observation({ kernelProof: false, down: { cookie: 'asked' } })];
  const swept = [observation({ kernelProof: false, down: { ...answered, recalled: 3 } })];
  const [port] = combine('auto', drained, swept);
  expect([port!.method, port!.down.cookie, port!.down.recalled]).toEqual(['count', 'asked', 3]);
});

test.each([
  ['count', { ringEmpty: false }, true],
  ['count', { ringEmpty: false, ...answered }, true],
  ['cookie', { cookie: 'asked' }, true],
  ['cookie', { ringEmpty: false, ...answered }, false],
  ['cookie', { ringEmpty: false }, false], // mute: nobody to ask; no waiting helps
  ['quiet', { ringEmpty: false, cookie: 'asked' }, false],
  ['auto', { cookie: 'asked' }, false],
  ['auto', { ringEmpty: false }, true],
] as const)('%s with %o: unready %s', (asked, down, unready) => {
  expect(unreadyOf(asked, [observation({ down })])).toHaveLength(unready ? 1 : 0);
});

test('one unproven port makes the cut unproven', () => {
  expect(isProven([evidence(), evidence()])).toBe(true);
  expect(isProven([evidence(), evidence({ port: 'b', down: { ringEmpty: false } })])).toBe(false);
});

test('the way down counts as seen at the drain, the way up as seen after the stop', () => {
  const drained = [observation({ up: { queueEmpty: false } })];
  const swept = [
    observation({ down: { ringEmpty: false } }),
    observation({ port: 'new', down: { ringEmpty: false } }),
  ];
  const [known, fresh] = combine('count', drained, swept);
  expect([known!.down.ringEmpty, known!.up.queueEmpty, known!.method]).toEqual([true, true, 'count']);
  expect(fresh!.down.ringEmpty).toBe(false);
});
