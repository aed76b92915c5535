/** A network in words, for `--dry-run`. */
import { isAdopted, nicPort } from './definition.js';
import type {
  AdoptedDefinition,
  DmtcpSettings,
  NetworkDefinition,
  NetworkFile,
  PortDefinition,
  QemuDefinition,
} from './definition.js';
import { printable } from './faults.js';

type Row = readonly string[];

/** What a network file would bring up: segments, guests with their NICs, other ports; several lines, no line feed at the end. */
export function describeDefinition(file: NetworkFile): string {
  const { network, segments, guests, ports } = file.definition;
  const lines = [`network ${network}`, `  file         ${file.path}`];
  if (file.checkpoints !== undefined) lines.push(`  checkpoints  ${file.checkpoints}`);
  const segmentRows = Object.entries(segments).map(([name, segment]): Row => [
    name,
    `ageing ${segment.ageingSeconds} s`,
    `reserved multicast: ${segment.reservedMulticast}`,
    `${portsOn(file.definition, name)} ports`,
  ]);
  lines.push('segments', ...aligned(segmentRows));
  if (Object.keys(guests).length > 0) lines.push('guests');
  for (const [name, guest] of Object.entries(guests)) {
    lines.push(
      `  ${name}`,
      ...(isAdopted(guest) ? describeAdopted(name, guest) : describeGuest(name, guest)),
    );
  }
  const portRows = Object.entries(ports).map(([name, port]): Row => describePort(name, port));
  if (portRows.length > 0) lines.push('ports', ...aligned(portRows));
  return lines.map(printable).join('\n');
}

function describeAdopted(name: string, { adopt, disks, nics }: AdoptedDefinition): string[] {
  const facts: [string, string | undefined][] = [
    ['adopted', `QMP ${adopt.qmp}`],
    ['restart', adopt.restart?.map(shellWord).join(' ') ?? 'not possible: no command is given'],
    ['disks', disks],
  ];
  const rows = nics.map((nic): Row => [
    nicPort(name, nic.name),
    `on ${nic.segment}`,
    `device ${nic.device}`,
    `mtu ${nic.mtu}`,
    nic.vlan === undefined ? 'untagged and tagged' : `vlan ${nic.vlan}`,
  ]);
  return [...known(facts), ...aligned(rows).map((line) => `  ${line}`)];
}

const known = (facts: readonly (readonly [string, string | undefined])[]): string[] =>
  facts.flatMap(([what, fact]) => (fact === undefined ? [] : [`    ${what.padEnd(8)} ${fact}`]));

function describeGuest(name: string, guest: QemuDefinition): string[] {
  const { qemu, accel, machine, cpu, cpus, memory, kernel, initrd, append, args, disks } = guest;
  const facts: [string, string | undefined][] = [
    [
      'machine',
      [
        qemu,
        machine,
        accel,
        ...(cpu === undefined ? [] : [`cpu ${cpu}`]),
        `cpus ${cpus}`,
        `${memory} MiB`,
      ].join(', '),
    ],
    ['kernel', kernel],
    ['initrd', initrd],
    ['append', append === undefined ? undefined : JSON.stringify(append)],
    ['console', guest.console],
    ['log', guest.consoleLog],
    ['args', args.length === 0 ? undefined : args.map(shellWord).join(' ')],
    ['disks', disks],
    ['dmtcp', guest.dmtcp && describeDmtcp(guest.dmtcp)],
  ];
  const nics = guest.nics.map((nic): Row => [
    nicPort(name, nic.name),
    `on ${nic.segment}`,
    nic.mac,
    `mtu ${nic.mtu}`,
    nic.vlan === undefined ? 'untagged and tagged' : `vlan ${nic.vlan}`,
    nic.model,
    ...(nic.transport === 'dgram' ? ['dgram'] : []),
  ]);
  return [...known(facts), ...aligned(nics).map((line) => `  ${line}`)];
}

function describeDmtcp({ coordinator, netns, plugins, gzip, forked, unreachable }: DmtcpSettings): string {
  return [
    `coordinator ${coordinator ?? 'of its own'}`,
    ...(netns === undefined ? [] : [`in namespace ${netns}`]),
    ...plugins.map((plugin) => `plugin ${shellWord(plugin)}`),
    gzip ? 'gzip' : 'not compressed',
    ...(forked ? ['forked'] : []),
    ...(unreachable === 'wait' ? ['waits for the daemon'] : []),
  ].join(', ');
}

function describePort(name: string, port: PortDefinition): Row {
  const vlan = port.vlan === undefined ? 'untagged and tagged' : `vlan ${port.vlan}`;
  if (port.kind === 'dgram') {
    return [name, `dgram on ${port.segment}`, `socket ${port.path} to ${port.peer}`, `mtu ${port.mtu}`, vlan];
  }
  const inside = port.kind === 'device' && port.netns !== undefined ? ` in namespace ${port.netns}` : '';
  return [
    name,
    `${port.kind} on ${port.segment}`,
    `device ${port.device}${inside}`,
    `mtu ${port.mtu}`,
    vlan,
    [...(port.kind === 'device' && port.mac !== undefined ? [port.mac] : []), ...port.addresses].join(' '),
  ];
}

const portsOn = ({ guests, ports }: NetworkDefinition, segment: string): number =>
  [
    ...Object.values(guests).flatMap(({ nics }): readonly { segment: string }[] => nics),
    ...Object.values(ports),
  ].filter((port) => port.segment === segment).length;

const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** Rows as lines, each column as wide as its widest cell. */
function aligned(rows: readonly Row[]): string[] {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)),
    [],
  );
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
}
