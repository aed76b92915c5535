/**
 * The private network namespace of a network: its devices live there and nowhere else, so no stray sender reaches
 * them, names never clash, and removing the namespace removes everything. Visible under `ip netns`.
 *
 * iproute2 does this; it is installed wherever namespaces are used, and keeps the conventions of /run/netns.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { mayMakeDevices, namespacePath } from '../sys/index.js';

const execute = promisify(execFile);

/** Runs a program of the system to its end. @throws StillwireError MISSING_PROGRAM or SYSCALL with its own words */
export async function runProgram(program: string, ...args: string[]): Promise<string> {
  try {
    return (await execute(program, args)).stdout;
  } catch (error) {
    const failure = error as NodeJS.ErrnoException & { stderr?: string };
    if (failure.code === 'ENOENT') {
      throw new StillwireError('MISSING_PROGRAM', `${program} is not installed`, { program });
    }
    const words = failure.stderr?.trim() ?? failure.message;
    const code = /not permitted|denied/i.test(words) ? 'NO_PRIVILEGE' : 'SYSCALL';
    throw new StillwireError(code, `${program} ${args.join(' ')}: ${words}`, {}, error);
  }
}

/** The namespace of a network. */
export const namespaceOf = (network: string): string => `stillwire-${network}`;

/** Whether it is there and may be ours: who can make no namespace has none, and one of this name is another user's. */
export const namespaceExists = (name: string): boolean => mayMakeDevices() && existsSync(namespacePath(name));

/** @throws StillwireError NETWORK_STALE when it is there already */
export async function createNamespace(name: string): Promise<void> {
  if (namespaceExists(name)) {
    throw new StillwireError('NETWORK_STALE', `the network namespace ${name} is there already`, {
      namespace: name,
    });
  }
  await runProgram('ip', 'netns', 'add', name);
}

/** Removes the namespace and every device in it; none is no error. */
export async function deleteNamespace(name: string): Promise<void> {
  if (namespaceExists(name)) await runProgram('ip', 'netns', 'delete', name);
}

/** Whether the host has an interface of this name. */
export const linkExists = (device: string): boolean => existsSync(`/sys/class/net/${device}`);

/**
 * Removes a persistent TAP that nobody holds, in the namespace at `path`. One that is gone, held, or no TAP stays as it is.
 */
export async function deleteTap(path: string, device: string): Promise<void> {
  // Not `ip link delete`: that would remove whatever has the name. This one has to take the TAP up first.
  await runProgram('nsenter', `--net=${path}`, 'ip', 'tuntap', 'del', 'dev', device, 'mode', 'tap').catch(
    () => undefined,
  );
}

/**
 * Makes a veth pair: `inside` in the namespace, `outside` in ours, up, with these addresses.
 * @throws StillwireError DEVICE_EXISTS
 */
export async function createVeth(
  namespace: string,
  inside: string,
  outside: { readonly device: string; readonly mtu: number; readonly addresses: readonly string[] },
): Promise<void> {
  const { device, addresses } = outside;
  if (linkExists(device)) {
    throw new StillwireError('DEVICE_EXISTS', `the host has an interface ${device} already`, { device });
  }
  const pair = ['type', 'veth', 'peer', inside, 'netns', namespace];
  await runProgram('ip', 'link', 'add', device, 'mtu', String(outside.mtu), ...pair);
  for (const address of addresses) await runProgram('ip', ...addressWords(address, device));
  await runProgram('ip', 'link', 'set', device, 'up');
}

/** How long a veth may take to carry frames after both ends are up. */
const CARRIER_BOUND_MS = 2000;

/**
 * Waits until a veth of ours carries frames. Until the kernel has noticed that both ends are up, its queue is the
 * no-op one, which drops (net/sched/sch_generic.c, linkwatch); a frame that a restore delivers then would be lost.
 */
export async function untilCarrying(device: string): Promise<void> {
  const deadline = performance.now() + CARRIER_BOUND_MS;
  while (performance.now() < deadline) {
    if ((await readFile(`/sys/class/net/${device}/operstate`, 'utf8')).trim() === 'up') return;
    await sleep(5);
  }
}

/** Removes a veth by our end, at once; removing its namespace does so too, but later. One that is gone is no error. */
export async function deleteVeth(device: string): Promise<void> {
  await runProgram('ip', 'link', 'delete', device).catch(() => undefined);
}

/** Puts addresses on a device in the namespace at `path`. */
export async function addAddresses(
  path: string,
  device: string,
  addresses: readonly string[],
): Promise<void> {
  for (const address of addresses) {
    await runProgram('nsenter', `--net=${path}`, 'ip', ...addressWords(address, device));
  }
}

/**
 * Usable at once: an IPv6 address that is still checked for duplicates (RFC 4862) takes no frame for a second, and
 * those that a restore delivers to it would be lost.
 */
function addressWords(address: string, device: string): string[] {
  return ['address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : [])];
}
