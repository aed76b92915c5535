/**
 * The private network namespace of a network: its devices live there and nowhere else, so no stray sender reaches
 * them, names never clash, and removing the namespace removes everything. Visible under `ip netns`.
 *
 * iproute2 does this; it is installed wherever namespaces are used, and keeps the conventions of /run/netns.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { namespacePath } from '../sys/index.js';

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

export const namespaceExists = (name: string): boolean => existsSync(namespacePath(name));

export async function createNamespace(name: string): Promise<void> {
  await runProgram('ip', 'netns', 'add', name);
}

/** Removes the namespace and every device in it; none is no error. */
export async function deleteNamespace(name: string): Promise<void> {
  if (namespaceExists(name)) await runProgram('ip', 'netns', 'delete', name);
}

/** Makes a veth pair: `inside` in the namespace, `outside` in ours, up, with these addresses. */
export async function createVeth(
  namespace: string,
  inside: string,
  outside: { readonly device: string; readonly mtu: number; readonly addresses: readonly string[] },
): Promise<void> {
  const { device, addresses } = outside;
  const mtu = String(outside.mtu);
  await runProgram(
    'ip',
    'link',
    'add',
    device,
    'mtu',
    mtu,
    'type',
    'veth',
    'peer',
    inside,
    'netns',
    namespace,
  );
  for (const address of addresses) await runProgram('ip', ...addressWords(address, device));
  await runProgram('ip', 'link', 'set', device, 'up');
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
