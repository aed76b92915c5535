/** The baseline of an attached TAP, against a device whose counters lag as the kernel's do. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Baseline } from '../../src/port/baseline.js';

/** A device bound to at `truth`; `handed` frames went to the socket since, `counted` of them the device has counted. */
class Device {
  handed = 0;
  counted = 0;
  #told = 0;

  constructor(readonly truth: number) {}

  /** One look, with a frame or two coming by between its two readings. */
  look(baseline: Baseline, between: number): void {
    const counted = this.truth + this.counted;
    this.handed += between;
    baseline.look(counted, (this.handed - this.#told) % 2 ** 32, this.handed);
    this.#told = this.handed;
  }
}

test('it is never above the truth, and is the truth from the first quiet look on', () => {
  const step = fc.record({
    arrive: fc.nat(5),
    settle: fc.boolean(),
    between: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.array(step, { maxLength: 40 }), (truth, steps) => {
      const device = new Device(truth);
      const baseline = new Baseline();
      let quiet = false;
      for (const { arrive, settle, between } of steps) {
        device.handed += arrive;
        if (settle) device.counted = device.handed;
        quiet ||= device.counted === device.handed && between === 0;
        device.look(baseline, between);
        expect(baseline.value).toBeLessThanOrEqual(truth);
        if (quiet) expect(baseline.value).toBe(truth);
      }
    }),
    { seed: 3, numRuns: 500 },
  );
});

test('the socket counts in 32 bits: a look after more than that many frames does no harm', () => {
  const baseline = new Baseline();
  baseline.look(100, 0, 0);
  baseline.look(100 + 2 ** 32 + 7, 7, 2 ** 32 + 7);
  expect(baseline.value).toBe(100);
});

test('a device just made has the count it was made with, whatever is seen later', () => {
  const baseline = new Baseline(12);
  baseline.look(15, 3, 3);
  baseline.look(15, 0, 3);
  expect(baseline.value).toBe(12);
});
