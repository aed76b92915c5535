import { expect, test } from 'vitest';
import { combine, isProven, judge, type PortEvidence } from '../../src/quiesce/index.js';
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
