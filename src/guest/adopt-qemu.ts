/**
 * Adopting a QEMU that somebody else has started, and letting it go again as it was.
 *
 * Its TAPs become ports by a duplicate of each tun descriptor (pidfd_getfd(2)), as if we had made them. What that rests
 * on is looked at first, and whatever does not hold is refused with the reason, before anything is changed:
 *
 *   migration      its owner saves or moves it: that is his to end
 *   vhost-net      the kernel reads the ring past QEMU: an empty ring proves nothing, a stop stops nothing
 *   hub, filter    frames wait in them while QEMU goes on reading its TAP: an empty ring proves nothing
 *   multiqueue     order would be kept per queue only, and one descriptor does not show the others' rings
 *   finite sndbuf  QEMU keeps frames of the guest back in a queue of its own, and loses them at its stop
 *   namespace      the netdev is moved into the network's, so it has to be where we are (not another Stillwire's)
 *
 * What QEMU itself tells of these is looked at in adopt-checks.ts, what the netdev must not have in network/adopted-tap.ts.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { AdoptedDefinition } from '../definition/definition.js';
import { StillwireError } from '../errors/index.js';
import { closeFd } from '../sys/fd.js';
import { peerCredentials } from '../sys/pidfd.js';
import { hasFiniteSendBuffer } from '../sys/tap.js';
import { refuse, refuseHiddenFrames, refuseMigrating } from './adopt-checks.js';
import { attachQemu, type AttachedQemu } from './attach-qemu.js';
import type { FoundTap } from './found-taps.js';
import { descriptorOf } from './qmp-connect.js';
import type { QmpClient } from './qmp.js';

const NAMED_NAMESPACES = '/run/netns';

export interface AdoptOptions {
  readonly name: string;
  readonly definition: AdoptedDefinition;
  readonly runDirectory: string;
  readonly signal: AbortSignal;
}

/** @returns as attachQemu, with one TAP per NIC, in their order. @throws StillwireError ADOPT_REFUSED; as attachQemu */
export async function adoptQemu(options: AdoptOptions): Promise<AttachedQemu> {
  const { name, definition, signal, runDirectory } = options;
  const qmpSocket = definition.adopt.qmp;
  const pid = await listenerOf(qmpSocket);
  if (pid === undefined) return refuse(name, `nobody listens on its QMP socket ${qmpSocket}`);
  let taps: readonly FoundTap[] = [];
  const judge = async (qmp: QmpClient, found: readonly FoundTap[]): Promise<void> => {
    await refuseMigrating(name, qmp);
    await refuseHiddenFrames(name, pid, qmp);
    taps = definition.nics.map(({ device }) => tapOf(name, device, found));
  };
  const attached = await attachQemu({ name, definition: {}, pid, qmpSocket, runDirectory, judge, signal });
  for (const tap of attached.taps) if (!taps.includes(tap)) closeFd(tap.fd); // a NIC outside of the network
  return { ...attached, taps };
}

/**
 * The process that listens on a unix socket; undefined when nobody does. A monitor takes one client at a time, so this
 * one is gone before it is connected for good.
 * @throws StillwireError ADOPT_REFUSED when it has no pid here; SYSCALL
 */
export function listenerOf(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      try {
        const pid = peerPid(socket, path);
        socket.once('close', () => resolve(pid));
      } catch (error) {
        reject(StillwireError.from(error));
      }
      socket.destroy();
    });
  });
}

/** 0 stands for whoever is in another PID namespace, and in kill(2) for our own process group. */
function peerPid(socket: Socket, path: string): number {
  const { pid } = peerCredentials(descriptorOf(socket));
  if (pid > 0) return pid;
  const words = `who listens on ${path} is in another PID namespace`;
  throw new StillwireError('ADOPT_REFUSED', words, { path });
}

function tapOf(guest: string, device: string, taps: readonly FoundTap[]): FoundTap {
  const found = taps.filter((tap) => tap.device === device);
  const here = statSync('/proc/self/ns/net').ino;
  const tap = found.find(({ namespace }) => namespace === here);
  const no = (why: string): never => refuse(guest, `TAP ${device} ${why}`, { device });
  if (tap === undefined) {
    const [other] = found;
    if (other === undefined) return no('is none of those its process has open');
    const owner = namedNamespace(other.namespace);
    if (owner?.startsWith('stillwire-') === true)
      return no(`is held by network ${owner.slice('stillwire-'.length)}`);
    return no(`is in another network namespace${owner === undefined ? '' : ` (${owner})`}`);
  }
  if (tap.multiQueue) return no('has several queues');
  if (hasFiniteSendBuffer(tap.fd)) return no('has a finite send buffer (sndbuf=)');
  return tap;
}

/** Name under which `ip netns` shows the namespace with this inode. */
function namedNamespace(inode: number): string | undefined {
  if (!existsSync(NAMED_NAMESPACES)) return undefined;
  return readdirSync(NAMED_NAMESPACES).find((name) => {
    try {
      return statSync(`${NAMED_NAMESPACES}/${name}`).ino === inode;
    } catch {
      return false; // gone meanwhile
    }
  });
}
