/**
 * The cookies of a switch: whom they go to, and which answers count.
 *
 * ask(port)   prepares the marker of this hold for the port: the echo request, then one probe for each address known
 * send(port)  as much of it as the port takes now; the rest at the next look at the port, until the guests are stopped
 * takes(…)    every frame received that may be one of ours comes by here. Markers and answers with a nonce of the last
 *             64 end here: they are neither learned nor forwarded, also when they come late, or through a guest that
 *             bridges. An answer counts only with the nonce of this hold, at the port whose number it carries
 *
 * A port where nobody is known to answer gets the echo request all the same: an agent that nobody has heard of yet is
 * found so. But its answer is not waited for.
 */
import { ARP_REPLY, parseArp } from '../frame/arp.js';
import { u16 } from '../frame/bytes.js';
import {
  cookieStem,
  ECHO_ANSWER,
  ECHO_HERE,
  ECHO_REQUEST,
  encodeEchoRequest,
  encodeProbe,
  parseEcho,
  portOf,
  stemOf,
} from '../frame/cookie.js';
import { ETHERTYPE } from '../frame/ethernet.js';
import type { CookieState } from '../port/evidence.js';
import { AddressTable } from './addresses.js';

/** Nonces of past holds still recognised: a marker may sit for long in the ring of a guest that reads nothing. */
const NONCES_KEPT = 64;

interface Question {
  readonly nonce: Uint8Array;
  /** Somebody is known who will answer. */
  readonly expected: boolean;
  /** Frames that the port has not taken yet. */
  readonly unsent: Buffer[];
  answered: boolean;
}

export class Cookies {
  readonly addresses = new AddressTable();
  #nonces: Uint8Array[] = [];
  /** What of each nonce shows in a MAC, in the same order. */
  #stems: number[] = [];
  /** Of the present hold, by port. */
  #questions: (Question | undefined)[] = [];

  get nonces(): readonly Uint8Array[] {
    return this.#nonces;
  }

  /** Swallows markers and answers with these nonces from now on. */
  recognise(nonces: readonly Uint8Array[]): void {
    this.#nonces = [...nonces, ...this.#nonces].slice(0, NONCES_KEPT);
    this.#stems = this.#nonces.map(cookieStem);
  }

  /** No answer to what was asked before counts any more. */
  beginHold(): void {
    this.#questions = [];
  }

  /** Prepares the marker for a port, which {@link send} sends. The nonce is recognised already. */
  ask(port: number, nonce: Uint8Array, now: number): void {
    const addresses = this.addresses.of(port);
    const probes = addresses.map(({ ip, vlan }) => encodeProbe(nonce, port, ip, vlan));
    this.#questions[port] = {
      nonce,
      expected: addresses.length > 0 || this.addresses.hasAgent(port, now),
      unsent: [encodeEchoRequest(nonce, port), ...probes],
      answered: false,
    };
  }

  /** Hands what is left of a port's marker to `put`, in order, until it takes no more. */
  send(port: number, put: (frame: Uint8Array) => boolean): void {
    const unsent = this.#questions[port]?.unsent;
    if (unsent === undefined || unsent.length === 0) return;
    const refused = unsent.findIndex((frame) => !put(frame));
    unsent.splice(0, refused < 0 ? unsent.length : refused);
  }

  /** The guests are stopped: nothing more may be sent to them. */
  endSending(): void {
    for (const question of this.#questions) question?.unsent.splice(0);
  }

  state(port: number): CookieState {
    const question = this.#questions[port];
    if (question?.answered === true) return 'answered';
    return question?.expected === true ? 'asked' : 'unasked';
  }

  /**
   * Whether a frame is a marker of ours or an answer to one, and goes no further.
   * @param port the number of the port it came from; @param typeAt where its EtherType lies
   */
  takes(port: number, bytes: Buffer, typeAt: number, end: number, now: number): boolean {
    const type = u16(bytes, typeAt);
    if (type === ETHERTYPE.arp) return this.#takesArp(port, bytes, typeAt + 2, end);
    return type === ETHERTYPE.experimental && this.#takesEcho(port, bytes, typeAt + 2, end, now);
  }

  /** Whether a frame that we sent was a marker; nothing follows from it. */
  isMarker(bytes: Buffer, typeAt: number, end: number): boolean {
    if (bytes.readUInt16BE(typeAt) === ETHERTYPE.arp) {
      const arp = parseArp(bytes, typeAt + 2, end);
      return arp !== undefined && this.#stems.includes(stemOf(arp.senderMac));
    }
    const echo = parseEcho(bytes, typeAt + 2, end);
    return echo?.operation === ECHO_REQUEST && this.#knows(echo.nonce);
  }

  #knows(nonce: Uint8Array): boolean {
    return this.#nonces.some((known) => Buffer.compare(known, nonce) === 0);
  }

  #takesArp(port: number, bytes: Buffer, at: number, end: number): boolean {
    const arp = parseArp(bytes, at, end);
    if (arp === undefined) return false;
    if (this.#stems.includes(stemOf(arp.senderMac))) return true; // our own probe, through a guest that bridges
    const nonce = this.#nonces[this.#stems.indexOf(stemOf(arp.targetMac))];
    if (nonce === undefined) return false;
    if (arp.operation === ARP_REPLY) this.#accept(port, nonce, portOf(arp.targetMac));
    return true;
  }

  #takesEcho(port: number, bytes: Buffer, at: number, end: number, now: number): boolean {
    const echo = parseEcho(bytes, at, end);
    if (echo === undefined) return false;
    if (echo.operation === ECHO_HERE) {
      this.addresses.noteAgent(port, now);
      return true;
    }
    const nonce = this.#nonces.find((known) => Buffer.compare(known, echo.nonce) === 0);
    if (nonce === undefined) return false;
    if (echo.operation === ECHO_ANSWER && echo.port === port) {
      this.addresses.noteAgent(port, now);
      this.#accept(port, nonce, echo.port);
    }
    return true;
  }

  #accept(port: number, nonce: Uint8Array, addressee: number): void {
    const question = this.#questions[port];
    if (question !== undefined && addressee === port && question.nonce === nonce) question.answered = true;
  }

  /** Takes note of an ARP packet that goes on its way. @param vlan the tag on the port's side, 0 for none */
  learn(port: number, vlan: number, bytes: Buffer, sourceAt: number, arpAt: number, end: number): void {
    const arp = parseArp(bytes, arpAt, end);
    if (arp !== undefined) this.addresses.learn(port, vlan, bytes.readUIntBE(sourceAt, 6), arp);
  }

  forgetPort(port: number): void {
    this.addresses.forgetPort(port);
    this.#questions[port] = undefined;
  }
}
