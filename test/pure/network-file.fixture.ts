/** What the suites of the network file share. */
import { StillwireError } from '../../src/errors/index.js';
import { isAdopted, type NetworkDefinition, type QemuDefinition } from '../../src/definition/index.js';
import { parseNetworkFile } from '../../src/definition/file.js';
import type { Fault, NetworkFile, Surroundings } from '../../src/definition/file.js';

/** A machine with these files, and QEMU on PATH. */
export const environment: Surroundings = {
  isFile: (path) => ['/lab/vmlinuz', '/lab/initrd.gz'].includes(path),
  findProgram: (program) =>
    ({
      'qemu-system-x86_64': '/usr/bin/qemu-system-x86_64',
      '/lab/bin/qemu': '/lab/bin/qemu',
    })[program],
};

export const parse = (text: string, path = '/lab/lab.yaml'): NetworkFile =>
  parseNetworkFile(text, path, { environment });

/** The guests of a network without adopted ones. */
export function machinesOf({ guests }: NetworkDefinition): Record<string, QemuDefinition> {
  return Object.fromEntries(
    Object.entries(guests).map(([name, guest]) => {
      if (isAdopted(guest)) throw new Error(`${name} is adopted`);
      return [name, guest];
    }),
  );
}

/** The error a text ends with; anything but FILE_INVALID is passed on. */
export function failure(text: string, path?: string): StillwireError {
  try {
    parse(text, path);
  } catch (error) {
    if (error instanceof StillwireError && error.code === 'FILE_INVALID') return error;
    throw error;
  }
  throw new Error('the file was taken');
}

export const faultsOf = (error: StillwireError): Fault[] => error.details['faults'] as Fault[];

/** One segment, for files about something else. */
export const LAN = 'segments: {lan: {}}\n';

/** A file with every key. */
export const FULL = `
network: demo
segments:
  lan: {}
  dmz:
  slow: { reservedMulticast: drop, ageing: 5m }
defaults:
  kernel: ./vmlinuz
  memory: 1G
  args: [-device, virtio-rng-pci]
guests:
  a:
    qemu: bin/qemu
    accel: kvm
    machine: pc
    cpu: max
    cpus: 2
    memory: 256
    initrd: initrd.gz
    append: >
      console=ttyS0
    console: a.sock
    consoleLog: /var/log/a.log
    args: [-smbios, 0x10, 1.50, -netdev, 'user,id=u']
    disks: unmanaged
    nics:
      - { segment: lan, name: eth0, mac: 52:54:00:AB:CD:EF, mtu: 9000, vlan: 10, model: e1000 }
      - segment: dmz
  b:
ports:
  host: { segment: lan, kind: external, device: sw-host, addresses: [10.0.0.254/24, 'fd00::1/64'] }
  box: { segment: slow, kind: device, device: eth0, netns: box1, mac: 02:00:00:00:00:01, mtu: 1400, vlan: 7 }
  box2: { segment: slow, kind: device, device: eth0, netns: box2 }
checkpoints: ./saved
`;
