/** What the tables of all segments know, by names that outlive the switch. */
import type { PortId } from '../frame/types.js';
import type { Members } from './members.js';

export interface StationOnPort {
  readonly segment: string;
  readonly vlan: number;
  readonly mac: string;
  readonly port: PortId;
}

/** @param most stations of one port, the last heard of them */
export function stationsOf(members: Members, now: number, most?: number): StationOnPort[] {
  return [...members.segments()].flatMap(({ name, table }) => {
    table.now = now;
    return table.stations(most).map(({ vlan, mac, port }) => ({
      segment: name,
      vlan,
      mac,
      port: members.at(port)!.port.id,
    }));
  });
}

/** Teaches the tables what a checkpoint knew; stations of ports there are none of are left out. */
export function learnStations(members: Members, stations: readonly StationOnPort[], now: number): void {
  for (const { segment, vlan, mac, port } of stations) {
    const member = members.get(port);
    const table = members.segment(segment)?.table;
    if (member === undefined || table === undefined) continue;
    const bytes = Buffer.from(mac.replaceAll(':', ''), 'hex');
    table.now = now;
    table.learn(bytes, 0, vlan, member.index);
  }
}
