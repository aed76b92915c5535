/**
 * Which port a station was last heard on, per VLAN: one table per segment.
 *
 * A set-associative cache in typed arrays: a station's hash names a set of WAYS places, and only those are looked at.
 * So the table is bounded, a look-up costs the same whether it is empty or full, nothing is ever moved or rehashed,
 * and a full set forgets its oldest station, which is then flooded for once and learned again.
 */
import { formatMac } from '../frame/ethernet.js';

const WAYS = 8;
const EMPTY = -1;

export interface Station {
  readonly vlan: number;
  readonly mac: string;
  readonly port: number;
}

export class MacTable {
  readonly #sets: number;
  readonly #high: Int32Array; // vlan << 16 | first two bytes of the address
  readonly #low: Int32Array; // last four bytes
  readonly #port: Int32Array;
  readonly #heard: Float64Array; // milliseconds
  readonly #ageing: number;

  /** @param capacity stations, rounded up to a power of two; @param ageingMs after which a station is unknown */
  constructor(ageingMs: number, capacity = 8192) {
    this.#sets = 2 ** Math.ceil(Math.log2(Math.max(1, capacity / WAYS)));
    const places = this.#sets * WAYS;
    this.#high = new Int32Array(places);
    this.#low = new Int32Array(places);
    this.#port = new Int32Array(places).fill(EMPTY);
    this.#heard = new Float64Array(places);
    this.#ageing = ageingMs;
  }

  #firstPlace(high: number, low: number): number {
    let h = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
    h ^= h >>> 15;
    return (h & (this.#sets - 1)) * WAYS;
  }

  /** Notes that the address at `at` was heard on `port`; a station that moved is there from now on. */
  learn(bytes: Buffer, at: number, vlan: number, port: number, now: number): void {
    const high = (vlan << 16) | bytes.readUInt16BE(at);
    const low = bytes.readInt32BE(at + 2);
    const first = this.#firstPlace(high, low);
    let place = first;
    for (let i = first; i < first + WAYS; i++) {
      if (this.#port[i] !== EMPTY && this.#high[i] === high && this.#low[i] === low) {
        place = i;
        break;
      }
      const older = this.#port[i] === EMPTY || this.#heard[i]! < this.#heard[place]!;
      if (this.#port[place] !== EMPTY && older) place = i;
    }
    this.#high[place] = high;
    this.#low[place] = low;
    this.#port[place] = port;
    this.#heard[place] = now;
  }

  /** The port of the address at `at`, or -1. */
  find(bytes: Buffer, at: number, vlan: number, now: number): number {
    const high = (vlan << 16) | bytes.readUInt16BE(at);
    const low = bytes.readInt32BE(at + 2);
    const first = this.#firstPlace(high, low);
    for (let i = first; i < first + WAYS; i++) {
      if (this.#high[i] === high && this.#low[i] === low && this.#port[i] !== EMPTY) {
        return now - this.#heard[i]! > this.#ageing ? EMPTY : this.#port[i]!;
      }
    }
    return EMPTY;
  }

  /** Forgets every station of a port. */
  forgetPort(port: number): void {
    for (let i = 0; i < this.#port.length; i++) if (this.#port[i] === port) this.#port[i] = EMPTY;
  }

  /** Every station not aged out. */
  stations(now: number): Station[] {
    const found: Station[] = [];
    const mac = Buffer.alloc(6);
    for (let i = 0; i < this.#port.length; i++) {
      if (this.#port[i] === EMPTY || now - this.#heard[i]! > this.#ageing) continue;
      mac.writeUInt16BE(this.#high[i]! & 0xffff, 0);
      mac.writeInt32BE(this.#low[i]!, 2);
      found.push({ vlan: this.#high[i]! >>> 16, mac: formatMac(mac, 0), port: this.#port[i]! });
    }
    return found;
  }
}
