/**
 * QEMU's command line for a guest: what Stillwire needs, and behind it the user's own arguments.
 *
 * What has to hold, for a state saved under one command line is loaded under another: the same devices at the same
 * places. So our NICs stand at fixed PCI addresses, high ones, and devices in the user's arguments take the low ones
 * as they would without us; our ids begin with `stillwire-`; and a restart names the machine type in its resolved,
 * versioned form.
 */
import { StillwireError } from '../errors/index.js';
import type { QemuDefinition, NicDefinition } from '../definition/definition.js';

/** What is known only when the guest is started. */
export interface QemuFacts {
  readonly name: string;
  /** Path of the QMP socket QEMU makes; absent: no QMP. */
  readonly qmpSocket?: string;
  /** The descriptors of TAPs, or of ends of datagram pairs, in QEMU's process, in the order of the NICs. */
  readonly tapFds: readonly number[];
  /** Resolved machine type in place of the definition's, whose properties stay. */
  readonly machine?: string;
  /** Wait for a saved state (`migrate-incoming`) and stay paused behind it. */
  readonly incoming: boolean;
}

/** sun_path less its closing zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
/** PCI slots for NICs, best first: 0x1f and 0x00 to 0x02 belong to the chip sets, low ones to the user's devices. */
const NIC_SLOTS = [...Array(15).keys()]
  .map((n) => 0x10 + n)
  .concat([...Array(8).keys()].map((n) => 0x0f - n));
/** Most NICs one guest can have. */
export const MAX_NICS = NIC_SLOTS.length;

/** A value inside an option list: QEMU reads a doubled comma as a comma (qemu-option.c). */
export const escapeComma = (value: string): string => value.replaceAll(',', ',,');

function socketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return escapeComma(path);
  throw new StillwireError(
    'PATH_TOO_LONG',
    `${path} is ${bytes} bytes long, a socket takes ${MAX_SOCKET_PATH_BYTES}`,
    {
      path,
    },
  );
}

/** `q35,usb=off` with the type exchanged and the properties kept. */
function machineArgument(machine: string, resolved: string | undefined): string {
  if (resolved === undefined) return machine;
  const comma = machine.indexOf(',');
  return comma < 0 ? resolved : resolved + machine.slice(comma);
}

function nicArguments(nic: NicDefinition, index: number, fd: number): string[] {
  const id = `stillwire-nic${index}`;
  const device = [escapeComma(nic.model), `netdev=${id}`, `id=${id}-device`, `mac=${nic.mac}`];
  // Models on a bus that is not PCI (virtio-net-device) have neither a ROM nor an address.
  if (!nic.model.endsWith('-device')) device.push('romfile=', `addr=0x${NIC_SLOTS[index]!.toString(16)}`);
  if (nic.model.startsWith('virtio-net')) {
    // QEMU loads the guest's table of VLANs and then clears it (virtio_load() sets the features last, and
    // virtio_net_set_features() starts the table anew), so that a restarted guest would get no tagged frame any more.
    // Without the feature it gets them all, and filters itself.
    device.push('ctrl_vlan=off');
    if (nic.mtu !== 1500) device.push(`host_mtu=${nic.mtu}`);
  }
  const netdev =
    nic.transport === 'dgram'
      ? `dgram,id=${id},local.type=fd,local.str=${fd}`
      : `tap,id=${id},fd=${fd},vhost=off`;
  return ['-netdev', netdev, '-device', device.join(',')];
}

function consoleArguments({ console, consoleLog }: QemuDefinition): string[] {
  if (console === undefined && consoleLog === undefined) return [];
  const id = 'stillwire-console';
  const log = consoleLog === undefined ? undefined : escapeComma(consoleLog);
  const logging = log === undefined ? '' : `,logfile=${log},logappend=on`;
  const backend =
    console === undefined
      ? `file,id=${id},path=${log ?? ''},append=on`
      : `socket,id=${id},path=${socketPath(console)},server=on,wait=off${logging}`;
  return ['-chardev', backend, '-serial', `chardev:${id}`];
}

function qmpArguments({ qmpSocket }: QemuFacts): string[] {
  if (qmpSocket === undefined) return [];
  const backend = `socket,id=stillwire-qmp,path=${socketPath(qmpSocket)},server=on,wait=off`;
  return ['-chardev', backend, '-mon', 'chardev=stillwire-qmp,mode=control'];
}

const optional = (option: string, value: string | undefined): string[] =>
  value === undefined ? [] : [option, value];

/**
 * The arguments behind the binary's name.
 * @throws StillwireError PATH_TOO_LONG for a socket path; GUEST_FAILED for more than {@link MAX_NICS} NICs
 */
export function qemuArguments(definition: QemuDefinition, facts: QemuFacts): string[] {
  const { nics } = definition;
  if (nics.length > MAX_NICS) {
    const words = `guest ${facts.name} has ${nics.length} NICs, ${MAX_NICS} are possible`;
    throw new StillwireError('GUEST_FAILED', words, { guest: facts.name });
  }
  if (nics.length !== facts.tapFds.length) {
    throw new StillwireError('INTERNAL', `${nics.length} NICs and ${facts.tapFds.length} TAPs`);
  }
  return [
    ...['-name', `guest=${escapeComma(facts.name)}`],
    ...['-machine', machineArgument(definition.machine, facts.machine)],
    ...['-accel', definition.accel],
    ...optional('-cpu', definition.cpu),
    ...['-smp', String(definition.cpus)],
    ...['-m', `${definition.memory}M`],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    // A restored guest would announce itself with RARP and ARP frames that no guest has sent. Without announcements a
    // virtio-net that has the feature for them loses its timer when it is restored, and QEMU (7.2) dies of it at the
    // guest's next reset: timer_del(NULL) in virtio_net_reset. So it comes without the feature.
    ...['-global', 'migration.announce-rounds=0', '-global', 'virtio-net-device.guest_announce=off'],
    ...optional('-kernel', definition.kernel),
    ...optional('-initrd', definition.initrd),
    ...optional('-append', definition.append),
    ...qmpArguments(facts),
    ...nics.flatMap((nic, index) => nicArguments(nic, index, facts.tapFds[index]!)),
    ...consoleArguments(definition),
    ...(facts.incoming ? ['-S', '-incoming', 'defer'] : []),
    ...definition.args,
  ];
}
