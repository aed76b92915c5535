// @ts-check
/**
 * One machine's program: it sends numbered datagrams to every peer at a steady rate and keeps account of what it gets.
 * It knows nothing of Stillwire, and never waits for anybody; it has no way to notice that it was stopped but its own
 * monotonic clock.
 *
 *   unicast4, unicast6   one flow to each peer
 *   multicast, broadcast one flow to all peers at once
 *
 * Every flow has a socket of its own at the receiver, so that one socket buffer holds one flow. A sender that was
 * stopped does not make up for it with a burst: whoever floods a network loses datagrams without any checkpoint.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setInterval, clearInterval } from 'node:timers';
import { FlowAccount } from './flow-account.mjs';

/** @typedef {'unicast4' | 'unicast6' | 'multicast' | 'broadcast'} Kind */
/** @typedef {{ number: number, address4: string, address6: string }} Station */
/** @typedef {{ me: Station, peers: Station[], group: string, broadcast: string }} Orders */
/** @typedef {{ kind: Kind, from: number } & import('./flow-account.mjs').Received} ReceivedFlow */
/** @typedef {{ kind: Kind, to: number | 'all', sent: number }} SentFlow */
/** @typedef {{ sent: SentFlow[], received: ReceivedFlow[], largestGapMs: number, perSecond: number, errors: string[] }} Report */

/** Datagrams a second, of each flow. Together 800 from every machine to every other. */
const RATES = { unicast4: 300, unicast6: 300, multicast: 100, broadcast: 100 };
/** @type {readonly Kind[]} */
const KINDS = ['unicast4', 'unicast6', 'multicast', 'broadcast'];
const FIRST_PORT = 7000;
const TICK_MS = 2;
/** A longer silence of our own clock is not made up for. */
const STOPPED_MS = 100;
const PAYLOAD_BYTES = 120;
const RECEIVE_BUFFER_BYTES = 1 << 20;

/** @type {Orders} */
const orders = JSON.parse(process.argv[2] ?? '');
const { me, peers, group, broadcast } = orders;
/** @type {string[]} */
const errors = [];

/** @param {Kind} kind @param {number} sender */
const portOf = (kind, sender) => FIRST_PORT + KINDS.indexOf(kind) * 100 + sender;

/** @param {Kind} kind @param {Station} peer */
function receiver(kind, peer) {
  const account = new FlowAccount();
  const type = kind === 'unicast6' ? 'udp6' : 'udp4';
  const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES });
  // Bound to no device and no group: what a socket says about a device is void when the device is made anew.
  socket.bind(portOf(kind, peer.number));
  socket.on('message', (datagram) => account.take(datagram.readUInt32BE(0)));
  return { kind, from: peer.number, account, socket };
}

// Bound to an address: the kernel finds the device by it, for multicast too, before and after.
const socket4 = createSocket({ type: 'udp4' });
socket4.bind(0, me.address4, () => {
  socket4.setBroadcast(true);
  socket4.setMulticastLoopback(false);
});
const socket6 = createSocket({ type: 'udp6' });
socket6.bind(0, me.address6);

/** @param {Kind} kind @param {number | 'all'} to @param {string} address */
function sender(kind, to, address) {
  const socket = kind === 'unicast6' ? socket6 : socket4;
  const port = portOf(kind, me.number);
  const flow = { kind, to, sent: 0, due: 0 };
  const send = () => {
    const datagram = Buffer.alloc(PAYLOAD_BYTES);
    datagram.writeUInt32BE(flow.sent++);
    socket.send(datagram, port, address, (error) => {
      if (error !== null) errors.push(error.message);
    });
  };
  return { flow, send };
}

const receivers = peers.flatMap((peer) => KINDS.map((kind) => receiver(kind, peer)));
const senders = [
  ...peers.map((peer) => sender('unicast4', peer.number, peer.address4)),
  ...peers.map((peer) => sender('unicast6', peer.number, peer.address6)),
  sender('multicast', 'all', group),
  sender('broadcast', 'all', broadcast),
];

let before = performance.now();
let runningMs = 0;
let largestGapMs = 0;

function tick() {
  const now = performance.now();
  const gap = now - before;
  before = now;
  largestGapMs = Math.max(largestGapMs, gap);
  const elapsed = Math.min(gap, STOPPED_MS);
  runningMs += elapsed;
  for (const { flow, send } of senders) {
    flow.due += (elapsed * RATES[flow.kind]) / 1000;
    for (; flow.due >= 1; flow.due--) send();
  }
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;

/** @returns {Report} */
function report() {
  const sent = senders.map(({ flow: { kind, to, sent: count } }) => ({ kind, to, sent: count }));
  const received = receivers.map(({ kind, from, account }) => ({ kind, from, ...account.summary() }));
  const toOnePeer = sent.filter(({ to }) => to === 'all' || to === peers[0]?.number);
  const perSecond = toOnePeer.reduce((sum, flow) => sum + flow.sent, 0) / (runningMs / 1000);
  return { sent, received, largestGapMs, perSecond, errors };
}

process.on('message', (/** @type {'start' | 'finish' | 'report'} */ order) => {
  if (order === 'start') {
    before = performance.now();
    ticking = setInterval(tick, TICK_MS);
  }
  if (order === 'finish') clearInterval(ticking);
  process.send?.(report());
});
process.on('disconnect', () => process.exit()); // the orchestrator is gone

const sockets = [socket4, socket6, ...receivers.map(({ socket }) => socket)];
await Promise.all(sockets.map((socket) => once(socket, 'listening')));
process.send?.('ready');
