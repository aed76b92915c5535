import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MacTable } from '../../src/switch/mac-table.js';
import { station } from './frames.js';

/** Not at the beginning of the frame. */
const inFrame = (mac: Buffer): Buffer => Buffer.concat([Buffer.alloc(3), mac]);

function learn(table: MacTable, now: number, mac: Buffer, vlan: number, port: number): void {
  table.now = now;
  table.learn(inFrame(mac), 3, vlan, port);
}

function find(table: MacTable, now: number, mac: Buffer, vlan: number): number {
  table.now = now;
  return table.find(inFrame(mac), 3, vlan);
}

function stations(table: MacTable, now: number, most?: number) {
  table.now = now;
  return table.stations(most);
}

test('a station that moves is found at its new port', () => {
  const table = new MacTable(1000);
  learn(table, 0, station(7), 0, 1);
  learn(table, 1, station(7), 0, 2);
  expect(find(table, 1, station(7), 0)).toBe(2);
  expect(stations(table, 1)).toHaveLength(1);
});

test('a station is known for the ageing time and not a millisecond longer', () => {
  const table = new MacTable(1000);
  learn(table, 500, station(7), 0, 1);
  expect(find(table, 1500, station(7), 0)).toBe(1);
  expect(find(table, 1501, station(7), 0)).toBe(-1);
  expect(stations(table, 1501)).toEqual([]);
});

test('being heard again starts the ageing anew', () => {
  const table = new MacTable(1000);
  learn(table, 0, station(7), 0, 1);
  learn(table, 900, station(7), 0, 1);
  expect(find(table, 1800, station(7), 0)).toBe(1);
});

test('the same address in two VLANs is two stations', () => {
  const table = new MacTable(1000);
  learn(table, 0, station(7), 5, 1);
  learn(table, 0, station(7), 4095, 2);
  expect(find(table, 0, station(7), 5)).toBe(1);
  expect(find(table, 0, station(7), 4095)).toBe(2);
  expect(find(table, 0, station(7), 0)).toBe(-1);
  expect(
    stations(table, 0)
      .map(({ vlan }) => vlan)
      .sort(),
  ).toEqual([4095, 5]);
});

const invented = (n: number): Buffer => Buffer.from([2, 9, n >> 24, n >> 16, n >> 8, n]);

test("a hundred thousand invented stations push out none but the inventor's own, the longest unheard first", () => {
  const table = new MacTable(1e9, 100);
  for (let n = 0; n < 50; n++) learn(table, n, station(n), 0, 1 + (n % 5));
  for (let n = 0; n < 100_000; n++) {
    learn(table, n, invented(n), 0, 0);
    if (n % 1000 === 0) expect(find(table, n, invented(n), 0)).toBe(0);
  }
  for (let n = 0; n < 50; n++) expect(find(table, 1e5, station(n), 0)).toBe(1 + (n % 5));
  const last = [...Array(100).keys()].map((i) => 99_999 - i);
  for (const n of last) expect(find(table, 1e5, invented(n), 0)).toBe(0);
  expect(stations(table, 1e5)).toHaveLength(150);
  expect(stations(table, 1e5, 3)).toHaveLength(18);
});

test('whoever has filled his room keeps nobody else from being learned, and is heard again at the end of his line', () => {
  const table = new MacTable(1e9, 3);
  for (let n = 0; n < 3; n++) learn(table, n, invented(n), 0, 0);
  learn(table, 3, invented(0), 0, 0);
  learn(table, 4, invented(3), 0, 0);
  expect([0, 1, 2, 3].map((n) => find(table, 5, invented(n), 0))).toEqual([0, -1, 0, 0]);
  learn(table, 5, station(1), 0, 1);
  expect(find(table, 5, station(1), 0)).toBe(1);
});

test('a station taken over counts in the room of whoever took it', () => {
  const table = new MacTable(1e9, 2);
  for (let n = 0; n < 2; n++) learn(table, n, station(n), 0, 1);
  for (let n = 0; n < 2; n++) learn(table, 2 + n, invented(n), 0, 0);
  learn(table, 4, station(0), 0, 0); // spoofed, as on any switch
  expect(find(table, 4, station(0), 0)).toBe(0);
  expect(find(table, 4, invented(0), 0)).toBe(-1);
  learn(table, 5, station(0), 0, 1);
  expect(stations(table, 5)).toHaveLength(3);
});

test('which stations share a bucket is drawn anew for each table', () => {
  // Not to be seen from outside but in the order of nothing: two tables agree in every answer, whatever they drew.
  const [one, two] = [new MacTable(1e9, 64), new MacTable(1e9, 64)];
  for (let n = 0; n < 5000; n++) for (const table of [one, two]) learn(table, n, invented(n), n & 1, n % 7);
  expect(stations(one, 5000)).toEqual(stations(two, 5000));
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
          learn(table, now, mac, vlan, port);
          model.set(key, { port, heard: now });
        } else if (verb === 'forget') {
          table.forgetPort(port);
          for (const [k, entry] of model) if (entry.port === port) model.delete(k);
        }
        const entry = model.get(key);
        const expected = entry === undefined || now - entry.heard > 200 ? -1 : entry.port;
        expect(find(table, now, mac, vlan)).toBe(expected);
      }
      const living = [...model].filter(([, { heard }]) => now - heard <= 200);
      const listed = stations(table, now).map((s) => `${s.vlan} ${s.mac.replaceAll(':', '')} ${s.port}`);
      expect(listed.sort()).toEqual(living.map(([key, { port }]) => `${key} ${port}`).sort());
    }),
  );
});
