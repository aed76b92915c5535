import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MacTable } from '../../src/switch/mac-table.js';
import { station } from './frames.js';

test('a station that moves is found at its new port', () => {
  const table = new MacTable(1000);
  table.learn(station(7), 0, 0, 1, 0);
  table.learn(station(7), 0, 0, 2, 1);
  expect(table.find(station(7), 0, 0, 1)).toBe(2);
  expect(table.stations(1)).toHaveLength(1);
});

test('a station is known for the ageing time and not a millisecond longer', () => {
  const table = new MacTable(1000);
  table.learn(station(7), 0, 0, 1, 500);
  expect(table.find(station(7), 0, 0, 1500)).toBe(1);
  expect(table.find(station(7), 0, 0, 1501)).toBe(-1);
  expect(table.stations(1501)).toEqual([]);
});

test('being heard again starts the ageing anew', () => {
  const table = new MacTable(1000);
  table.learn(station(7), 0, 0, 1, 0);
  table.learn(station(7), 0, 0, 1, 900);
  expect(table.find(station(7), 0, 0, 1800)).toBe(1);
});

test('the same address in two VLANs is two stations', () => {
  const table = new MacTable(1000);
  table.learn(station(7), 0, 5, 1, 0);
  table.learn(station(7), 0, 4095, 2, 0);
  expect(table.find(station(7), 0, 5, 0)).toBe(1);
  expect(table.find(station(7), 0, 4095, 0)).toBe(2);
  expect(table.find(station(7), 0, 0, 0)).toBe(-1);
  expect(
    table
      .stations(0)
      .map(({ vlan }) => vlan)
      .sort(),
  ).toEqual([4095, 5]);
});

test('a hundred thousand invented stations neither grow the table nor push out the newest', () => {
  const table = new MacTable(1e9, 1024);
  for (let n = 0; n < 100_000; n++) {
    const mac = Buffer.from([2, 0, n >> 24, n >> 16, n >> 8, n]);
    table.learn(mac, 0, 0, n & 7, n);
    expect(table.find(mac, 0, 0, n)).toBe(n & 7);
  }
  expect(table.stations(100_000).length).toBeLessThanOrEqual(1024);
  expect(table.stations(100_000).length).toBeGreaterThan(900); // the hash spreads
});

test('behaves as a map while it is not full', () => {
  const step = fc.record({
    do: fc.constantFrom('learn', 'learn', 'find', 'forget'),
    mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
    known: fc.nat(40),
    vlan: fc.constantFrom(0, 1, 4095),
    port: fc.nat(5),
    wait: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new MacTable(200);
      const model = new Map<string, { port: number; heard: number }>();
      const seen: Buffer[] = [];
      let now = 1;
      for (const { do: verb, mac: fresh, known, vlan, port, wait } of steps) {
        now += wait;
        const mac = seen[known] ?? fresh;
        seen.push(mac);
        const key = `${vlan} ${mac.toString('hex')}`;
        if (verb === 'learn') {
          table.learn(Buffer.concat([Buffer.alloc(3), mac]), 3, vlan, port, now);
          model.set(key, { port, heard: now });
        } else if (verb === 'forget') {
          table.forgetPort(port);
          for (const [k, entry] of model) if (entry.port === port) model.delete(k);
        }
        const entry = model.get(key);
        const expected = entry === undefined || now - entry.heard > 200 ? -1 : entry.port;
        expect(table.find(mac, 0, vlan, now)).toBe(expected);
      }
      const living = [...model].filter(([, { heard }]) => now - heard <= 200);
      const listed = table.stations(now).map((s) => `${s.vlan} ${s.mac.replaceAll(':', '')} ${s.port}`);
      expect(listed.sort()).toEqual(living.map(([key, { port }]) => `${key} ${port}`).sort());
    }),
  );
});
