/**
 * The examinations of `doctor`. Each tries the thing itself where that leaves no trace, since what a kernel, a
 * container or a policy allows is known only by trying.
 */
import { constants } from 'node:fs';
import { access, open, readFile, stat } from 'node:fs/promises';
import { arch, platform, release } from 'node:os';
import { dirname } from 'node:path';
import { canFork } from '../dmtcp/index.js';
import { runDirectory } from '../daemon/run-directory.js';
import { missingCapabilities } from '../sys/privilege.js'; // and no more of it: a machine without koffi is examined too
import { manual, probe, type Answer } from './probe.js';
import type { Session } from './session.js';

export interface Finding {
  readonly name: string;
  /** `limited`: there, but not for everything. */
  readonly state: 'ok' | 'missing' | 'limited';
  /** Without it no network of guests runs. */
  readonly required: boolean;
  /** What was found, in words. */
  readonly found: string;
  /** How to get it, when it is not all there. */
  readonly next?: string;
}

type Examination = (session: Session) => Promise<Finding>;

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const apt = (name: string): string => `apt-get install ${name}`;

/** A program that tells its version. */
function program(
  name: string,
  [binary, ...args]: readonly [string, ...string[]],
  { required, packageName, purpose }: { required: boolean; packageName: string; purpose: string },
): Examination {
  return async () => {
    const answer = await probe(binary, ...args);
    if (answer.ran) return { name, state: 'ok', required, found: answer.words };
    return { name, state: 'missing', required, found: `${answer.words}; ${purpose}`, next: apt(packageName) };
  };
}

const node: Examination = () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = platform() === 'linux' && (major > 20 || (major === 20 && minor >= 19));
  const found = `Node.js ${process.versions.node}, ${platform()} ${release()}, ${arch()}`;
  const next = 'Node.js 20.19 or later on Linux';
  const base = { name: 'node', required: true, found };
  return Promise.resolve(ok ? { ...base, state: 'ok' } : { ...base, state: 'missing', next });
};

/** What TAPs and other devices take. Who is not root has networks without them (`transport: dgram`). */
const forDevices = process.getuid?.() === 0;

const privileges: Examination = async () => {
  const missing = missingCapabilities(await readFile('/proc/self/status', 'utf8'));
  const base = { name: 'privileges', required: forDevices };
  if (missing.length === 0) {
    return { ...base, state: 'ok', found: 'CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN' };
  }
  const found = `${missing.join(', ')} not held`;
  return { ...base, state: 'missing', found, next: 'run as root, or use `transport: dgram`' };
};

/** Full frames a guest can send while the switch gets no processor, before it has to wait. */
const FEW_FRAMES = 1000;

const datagrams: Examination = async () => {
  const base = { name: 'dgram', required: true };
  try {
    const { closeFd, datagramCost, datagramPair, raiseSendBuffer } = await import('../sys/index.js');
    const [one, other] = datagramPair();
    const frames = Math.floor(raiseSendBuffer(one, 64 * 1024 * 1024) / datagramCost(1514));
    closeFd(one);
    closeFd(other);
    const found = `NICs of \`transport: dgram\`, room for ${frames} full frames`;
    if (frames >= FEW_FRAMES) return { ...base, state: 'ok', found };
    const next = 'sysctl net.core.wmem_max=4194304, or checkpoints under load are sometimes not proven';
    return { ...base, state: 'limited', found, next };
  } catch (error) {
    return { ...base, state: 'missing', found: words(error) };
  }
};

const tun: Examination = async () => {
  const base = { name: 'tun', required: forDevices };
  try {
    await (await open('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)).close();
    return { ...base, state: 'ok', found: '/dev/net/tun opens' };
  } catch (error) {
    const next = 'modprobe tun; in a container, hand in /dev/net/tun';
    return { ...base, state: 'missing', found: words(error), next };
  }
};

const namespaces: Examination = async () => {
  const base = { name: 'netns', required: forDevices };
  const answer = await probe('unshare', '--net', 'true');
  if (answer.ran) return { ...base, state: 'ok', found: 'a network namespace can be made' };
  return {
    ...base,
    state: 'missing',
    found: answer.words,
    next: 'run as root; a container needs CAP_SYS_ADMIN',
  };
};

const packetSocket: Examination = async () => {
  const base = { name: 'AF_PACKET', required: forDevices };
  try {
    const { closeFd, openPacketSocket } = await import('../sys/index.js');
    closeFd(openPacketSocket(1, 65_536));
    return { ...base, state: 'ok', found: 'a packet socket with virtio-net headers opens' };
  } catch (error) {
    const next = 'run as root; the kernel needs CONFIG_PACKET';
    return { ...base, state: 'missing', found: words(error), next };
  }
};

const ioUring: Examination = async () => {
  const base = { name: 'io_uring', required: false };
  try {
    const { Ring } = await import('../sys/index.js');
    new Ring().close();
    return {
      ...base,
      state: 'ok',
      found: 'a ring opens: switches run on the io_uring engine unless STILLWIRE_ENGINE says otherwise',
    };
  } catch (error) {
    const next =
      'not needed: the epoll engine runs (a kernel before 6.1, a container, kernel.io_uring_disabled)';
    return { ...base, state: 'missing', found: words(error), next };
  }
};

const kvm: Examination = async () => {
  const base = { name: 'KVM', required: false };
  try {
    await (await open('/dev/kvm', constants.O_RDWR)).close();
    return {
      ...base,
      state: 'limited',
      found: '/dev/kvm opens, which does not prove that a guest boots with it',
    };
  } catch (error) {
    return { ...base, state: 'missing', found: words(error), next: 'not needed: `accel: tcg` emulates' };
  }
};

/** What was found of DMTCP: its programs' manuals, and what of it could not be read there. */
export interface DmtcpSeen {
  readonly launch: Answer;
  /** All that dmtcp_launch and dmtcp_command say with --help. */
  readonly options: string;
  readonly commands: string;
  readonly forks: boolean;
  readonly compiler: Answer;
}

/** Hardly any distribution has it as a package: apt's would be a promise that is not kept. */
const BUILD_DMTCP = 'build 3.0 or later of https://github.com/dmtcp/dmtcp: docs/dmtcp.md tells how';

/** What its programs can do, by what their manuals list: 3.x and 5.0 differ. Guests under it need a compiler once. */
export function judgeDmtcp({ launch, options, commands, forks, compiler }: DmtcpSeen): Finding {
  const base = { name: 'DMTCP', required: false };
  if (!launch.ran) {
    const found = `${launch.words}; guests with the key \`dmtcp\` need it`;
    return { ...base, state: 'missing', found, next: BUILD_DMTCP };
  }
  const abilities = [
    ...(options.includes('--gzip') ? ['gzip'] : []),
    ...(forks ? ['forked'] : []),
    ...(commands.includes('-bc') ? ['dmtcp_command -bc'] : []),
    ...(commands.includes('--json') ? ['dmtcp_command --json'] : []),
  ];
  const found = [launch.words, ...(abilities.length > 0 ? [abilities.join(', ')] : [])].join(': ');
  const major = Number(/(\d+)\.\d/.exec(launch.words)?.[1] ?? 0);
  if (major < 3) return { ...base, state: 'limited', found, next: BUILD_DMTCP };
  if (compiler.ran) return { ...base, state: 'ok', found };
  return { ...base, state: 'limited', found: `${found}; no compiler for the plugin`, next: apt('gcc') };
}

const dmtcp: Examination = async () => {
  const [launch, options, commands, forks, compiler] = await Promise.all([
    probe('dmtcp_launch', '--version'),
    manual('dmtcp_launch'),
    manual('dmtcp_command'),
    canFork(),
    probe('cc', '--version'),
  ]);
  return judgeDmtcp({ launch, options, commands, forks, compiler });
};

/** The directory, or the one above it that it would be made in, can be written. */
async function writable(path: string): Promise<string> {
  const exists = await stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
  if (exists) {
    await access(path, constants.W_OK | constants.X_OK);
    return `${path} can be written`;
  }
  const above = dirname(path);
  if (above === path) throw new Error(`${path} is not there`);
  await writable(above);
  return `${path} can be made`;
}

function directory(
  name: string,
  variable: string,
  pathOf: (session: Session) => string | Promise<string>,
): Examination {
  return async (session) => {
    const base = { name, required: true };
    try {
      return { ...base, state: 'ok', found: await writable(await pathOf(session)) };
    } catch (error) {
      return { ...base, state: 'missing', found: words(error), next: `run as root, or set ${variable}` };
    }
  };
}

const EXAMINATIONS: readonly Examination[] = [
  node,
  privileges,
  tun,
  namespaces,
  packetSocket,
  datagrams,
  program('ip', ['ip', '-V'], {
    required: forDevices,
    packageName: 'iproute2',
    purpose: 'it makes namespaces',
  }),
  program('QEMU', ['qemu-system-x86_64', '--version'], {
    required: true,
    packageName: 'qemu-system-x86',
    purpose: 'it runs the guests',
  }),
  kvm,
  directory('run directory', 'STILLWIRE_RUN', () => runDirectory()),
  directory('state directory', 'STILLWIRE_STATE', (session) => session.stateDirectory),
  ioUring,
  program('nft', ['nft', '--version'], {
    required: false,
    packageName: 'nftables',
    purpose: 'for TAPs in the host namespace, which networks do not use yet',
  }),
  program('tshark', ['tshark', '--version'], {
    required: false,
    packageName: 'tshark',
    purpose: 'reads captures and in-flight frames',
  }),
  dmtcp,
  program('CRIU', ['criu', '--version'], {
    required: false,
    packageName: 'criu',
    purpose: 'nothing uses it yet',
  }),
];

/** Examines this machine; required things come first in kind. Changes nothing. */
export async function examine(session: Session): Promise<Finding[]> {
  return Promise.all(EXAMINATIONS.map((examination) => examination(session)));
}
