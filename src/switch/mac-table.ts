/**
 * Which port a station was last heard on, per VLAN: one table per segment.
 *
 * Goal: a guest may invent as many stations as it likes and costs nobody else anything. So every port has room of its
 * own, QUOTA stations, and one too many pushes out that same port's longest unheard: never another's, and a port that
 * has few is always learned. (A station that is heard on another port moves there, as in any learning switch.)
 *
 *   buckets   hash → first station, `next` → the others of the same hash; twice as many as there are stations
 *   per port  a list of its stations, longest unheard first; being heard puts a station at its end
 *
 * Places grow with the stations there are, and never beyond the sum of the quotas. The hash is drawn anew for each
 * table: which stations share a bucket cannot be worked out beforehand, and whoever finds out by trying makes a look-up
 * longer by no more than his quota.
 */
import { randomInt } from 'node:crypto';
import { u16 } from '../frame/bytes.js';
import { formatMac } from '../frame/ethernet.js';

/** Stations one port may have: more than stand behind any uplink of a lab. */
export const STATIONS_PER_PORT = 4096;
const NONE = -1;
const FIRST_PLACES = 64;

export interface Station {
  readonly vlan: number;
  readonly mac: string;
  readonly port: number;
}

/** A port's stations, as places: the longest unheard, the last heard, how many. */
interface Group {
  oldest: number;
  newest: number;
  count: number;
}

/** Small enough to stay a small integer to V8. */
const oddNumber = (): number => randomInt(2 ** 29) * 2 + 1;
/** The last four bytes of the address at `at`. */
const lowOf = (bytes: Uint8Array, at: number): number => (u16(bytes, at + 2) << 16) | u16(bytes, at + 4);

const grown = (array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> => {
  const larger = new Int32Array(length).fill(NONE);
  larger.set(array);
  return larger;
};

export class MacTable {
  /**
   * Now, in milliseconds: set once for many frames. A number that is no small integer, handed from function to function,
   * would be an object each time.
   */
  now = 0;
  readonly #ageing: number;
  readonly #quota: number;
  readonly #a = oddNumber();
  readonly #b = oddNumber();
  readonly #c = oddNumber();
  #buckets = new Int32Array(2 * FIRST_PLACES).fill(NONE);
  #shift = 32 - Math.log2(2 * FIRST_PLACES);
  #high = new Int32Array(FIRST_PLACES); // vlan << 16 | first two bytes of the address
  #low = new Int32Array(FIRST_PLACES); // last four bytes
  #port = new Int32Array(FIRST_PLACES).fill(NONE);
  #heard = new Float64Array(FIRST_PLACES); // milliseconds
  /** In its bucket; of a free place, the next free one. */
  #next = new Int32Array(FIRST_PLACES).fill(NONE);
  /** In its port's list. */
  #older = new Int32Array(FIRST_PLACES).fill(NONE);
  #newer = new Int32Array(FIRST_PLACES).fill(NONE);
  #free = NONE;
  /** Places ever used. */
  #used = 0;
  readonly #groups: (Group | undefined)[] = [];

  /** @param ageingMs after which a station is unknown; @param quota stations of one port */
  constructor(ageingMs: number, quota = STATIONS_PER_PORT) {
    this.#ageing = ageingMs;
    this.#quota = quota;
  }

  #bucketOf(high: number, low: number): number {
    const h = (Math.imul(low, this.#a) + Math.imul(high, this.#b)) | 0;
    return Math.imul(h ^ (h >>> 16), this.#c) >>> this.#shift;
  }

  #placeOf(high: number, low: number): number {
    let place = this.#buckets[this.#bucketOf(high, low)]!;
    while (place !== NONE && (this.#low[place] !== low || this.#high[place] !== high))
      place = this.#next[place]!;
    return place;
  }

  /** Notes that the address at `at` was heard on `port`; a station that moved is there from now on. */
  learn(bytes: Buffer, at: number, vlan: number, port: number): void {
    const high = (vlan << 16) | u16(bytes, at);
    const low = lowOf(bytes, at);
    let place = this.#placeOf(high, low);
    const group = (this.#groups[port] ??= { oldest: NONE, newest: NONE, count: 0 });
    if (place === NONE || this.#port[place] !== port) {
      if (group.count >= this.#quota) this.#forget(group.oldest);
      if (place === NONE) place = this.#take(high, low);
      else this.#leave(place);
      this.#port[place] = port;
      this.#append(group, place);
    } else if (group.newest !== place) {
      this.#leave(place);
      this.#append(group, place);
    }
    this.#heard[place] = this.now;
  }

  /** The port of the address at `at`, or -1. */
  find(bytes: Buffer, at: number, vlan: number): number {
    const place = this.#placeOf((vlan << 16) | u16(bytes, at), lowOf(bytes, at));
    return place === NONE || this.now - this.#heard[place]! > this.#ageing ? NONE : this.#port[place]!;
  }

  /** Forgets every station of a port. */
  forgetPort(port: number): void {
    const group = this.#groups[port];
    while (group !== undefined && group.oldest !== NONE) this.#forget(group.oldest);
  }

  /** Every station not aged out; of each port the last heard, at most `most`. */
  stations(most = Number.POSITIVE_INFINITY): Station[] {
    const found: Station[] = [];
    const mac = Buffer.alloc(6);
    for (const [port, group] of this.#groups.entries()) {
      let left = most;
      for (let place = group?.newest ?? NONE; place !== NONE && left > 0; place = this.#older[place]!) {
        if (this.now - this.#heard[place]! > this.#ageing) break; // and all behind it
        left--;
        mac.writeUInt16BE(this.#high[place]! & 0xffff, 0);
        mac.writeInt32BE(this.#low[place]!, 2);
        found.push({ vlan: this.#high[place]! >>> 16, mac: formatMac(mac, 0), port });
      }
    }
    return found;
  }

  /** A place for a new station, in its bucket. */
  #take(high: number, low: number): number {
    let place = this.#free;
    if (place !== NONE) this.#free = this.#next[place]!;
    else {
      if (this.#used === this.#port.length) this.#grow();
      place = this.#used++;
    }
    this.#high[place] = high;
    this.#low[place] = low;
    this.#enter(place);
    return place;
  }

  #enter(place: number): void {
    const bucket = this.#bucketOf(this.#high[place]!, this.#low[place]!);
    this.#next[place] = this.#buckets[bucket]!;
    this.#buckets[bucket] = place;
  }

  #forget(place: number): void {
    const bucket = this.#bucketOf(this.#high[place]!, this.#low[place]!);
    let before = this.#buckets[bucket]!;
    if (before === place) this.#buckets[bucket] = this.#next[place]!;
    else {
      while (this.#next[before] !== place) before = this.#next[before]!;
      this.#next[before] = this.#next[place]!;
    }
    this.#leave(place);
    this.#port[place] = NONE;
    this.#next[place] = this.#free;
    this.#free = place;
  }

  /** Takes a station out of its port's list. */
  #leave(place: number): void {
    const group = this.#groups[this.#port[place]!]!;
    const older = this.#older[place]!;
    const newer = this.#newer[place]!;
    if (older === NONE) group.oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) group.newest = older;
    else this.#older[newer] = older;
    group.count--;
  }

  #append(group: Group, place: number): void {
    this.#older[place] = group.newest;
    this.#newer[place] = NONE;
    if (group.newest === NONE) group.oldest = place;
    else this.#newer[group.newest] = place;
    group.newest = place;
    group.count++;
  }

  /** Twice the places, twice the buckets. Seldom, and the last time at the sum of the quotas. */
  #grow(): void {
    const length = 2 * this.#port.length;
    this.#high = grown(this.#high, length);
    this.#low = grown(this.#low, length);
    this.#port = grown(this.#port, length);
    this.#next = grown(this.#next, length);
    this.#older = grown(this.#older, length);
    this.#newer = grown(this.#newer, length);
    const heard = new Float64Array(length);
    heard.set(this.#heard);
    this.#heard = heard;
    this.#buckets = new Int32Array(2 * length).fill(NONE);
    this.#shift = 32 - Math.log2(2 * length);
    for (let place = 0; place < this.#used; place++) this.#enter(place); // all are taken: none was free
  }
}
