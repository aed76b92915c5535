/**
 * Frames of our own that a hold sends: sentinels and cookies. What comes back of them, in this hold or after many, goes
 * no further: it is known by the nonces.
 */
import { ETHERTYPE } from '../frame/ethernet.js';
import { encodeSentinel, isSentinel, newNonce, SENTINEL_ETHERTYPE } from '../frame/sentinel.js';
import type { PortId } from '../frame/types.js';
import { hasRing } from '../port/evidence.js';
import { Cookies } from './cookies.js';
import type { Egress } from './egress.js';
import type { Member, Members } from './members.js';
import { isTagged, typeOffset } from './vlan.js';

/**
 * Sentinels in a row. One that is read proves that every frame before it has arrived. But even a guest that takes nothing
 * (no driver, paused by its user) lets its hypervisor read one frame: a second that is read too shows that it takes them.
 */
const SENTINELS = 2;
/** Nonces of past holds still recognised: a sentinel may sit for long in the ring of a guest that reads nothing. */
const NONCES_KEPT = 64;

/** Who answers a cookie on a port: an IPv4 address heard speaking for itself, or, without one, an echo agent. */
export interface AddressOnPort {
  readonly port: PortId;
  /** The tag on the port's side, 0 for none. */
  readonly vlan: number;
  readonly ip?: string;
}

/** Whether a frame of this EtherType may be one of our own, or an answer to one. */
export const mayBeOurs = (type: number): boolean => type === SENTINEL_ETHERTYPE || type === ETHERTYPE.arp;

function putSentinels(egress: Egress, sentinel: Uint8Array): void {
  for (let i = 0; i < SENTINELS && egress.sendSentinel(sentinel); i++);
}

export class Markers {
  readonly cookies = new Cookies();
  /** Now, in milliseconds; see {@link MacTable.now}. */
  now = 0;
  readonly #members: Members;
  #nonces: Uint8Array[] = [];

  constructor(members: Members) {
    this.#members = members;
  }

  /** Of sentinels; the newest first. */
  get nonces(): readonly Uint8Array[] {
    return this.#nonces;
  }

  /** Swallows sentinels with these nonces from now on. */
  recognise(nonces: readonly Uint8Array[]): void {
    this.#nonces = [...nonces, ...this.#nonces].slice(0, NONCES_KEPT);
  }

  /**
   * Whether a frame received is one of our own, or an answer to one.
   * @param port the number of the port it came from; @param typeAt where its EtherType lies; @param end where it ends
   */
  takes(port: number, bytes: Buffer, typeAt: number, end: number): boolean {
    return (
      isSentinel(bytes, typeAt, end, this.#nonces) || this.cookies.takes(port, bytes, typeAt, end, this.now)
    );
  }

  /** Whether a frame at `start`, to the end of `bytes`, is one of our own, that no guest has sent. */
  isMarker(bytes: Buffer, start: number): boolean {
    const typeAt = typeOffset(start, isTagged(bytes, start));
    if (isSentinel(bytes, typeAt, bytes.length, this.#nonces)) return true;
    return this.cookies.isMarker(bytes, typeAt, bytes.length);
  }

  /** Puts the sentinels behind the last frame sent on each port that needs them. */
  sendSentinels(nonce: Uint8Array): void {
    this.recognise([nonce]);
    const sentinel = encodeSentinel(nonce);
    for (const { egress } of this.#members.all()) putSentinels(egress, sentinel);
  }

  /** Puts sentinels of the last nonce on one port. */
  putSentinels(egress: Egress): void {
    if (this.#nonces.length === 0) this.recognise([newNonce()]);
    putSentinels(egress, encodeSentinel(this.#nonces[0]!));
  }

  /** Puts a cookie behind the last frame sent on each of these ports (absent: on all) where frames can lie. */
  sendCookies(nonce: Uint8Array, now: number, ports?: readonly PortId[]): void {
    this.cookies.recognise([nonce]);
    for (const member of this.#members.all()) {
      const { id, kind } = member.port;
      if (!hasRing(kind) || ports?.includes(id) === false) continue;
      this.cookies.ask(member.index, nonce, now);
      this.sendCookie(member);
    }
  }

  /** As much of a port's cookie as it has room for. */
  sendCookie({ index, egress }: Member): void {
    this.cookies.send(index, (frame) => egress.sendCookie(frame));
  }

  /** Swallows cookies with these nonces and what answers them from now on; and knows who answers. */
  recogniseCookies(nonces: readonly Uint8Array[], addresses: readonly AddressOnPort[], now: number): void {
    this.cookies.recognise(nonces);
    for (const { port, ...answerer } of addresses) {
      const member = this.#members.get(port);
      if (member !== undefined) this.cookies.addresses.restore({ ...answerer, port: member.index }, now);
    }
  }

  /** Who answers cookies. */
  answerers(now: number): AddressOnPort[] {
    return this.cookies.addresses
      .answerers(now)
      .map((answerer) => ({ ...answerer, port: this.#members.at(answerer.port)!.port.id }));
  }
}
