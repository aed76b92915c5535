/**
 * Real machines: two QEMU guests, each with two NICs of the same kind, one on Stillwire and one on a Linux bridge of the
 * host. So it is the same guests, at the same time, that send over either.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GuestConsole } from '../demo/guest-console.js';
import { guestImage, testNetwork } from '../demo/traffic-network.js';
import type { NetworkDefinition } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { benchImage, booting, GUEST_TRAFFIC } from './guest-image.js';
import type { Ground } from './ground.js';
import { StillwireProcess } from './peers/stillwire.js';
import { describePlacement, UNPINNED } from './placement.js';
import { findProgram } from './program.js';
import { judgeRow, type MeasuredRow } from './row.js';
import type { Stage, Trial } from './stage.js';

const ASKED = {
  name: 'bulk TCP between QEMU guests',
  peer: 'Linux bridge',
  unit: 'bit/s',
  floor: 0.9,
  goal: 0.95,
  less: false,
} as const;

const GUESTS = ['g1', 'g2'];
/** By NIC: Stillwire's, then the bridge's. */
const SUBNETS = ['10.120.0', '10.121.0'];
const BOOT = { withinMs: 120_000 };
const WARM_MS = 500;
/** Its stdin must not end. The shell's prompt would stand before what a job in the background says. */
const SERVE =
  `sleep 1000000 | ${GUEST_TRAFFIC} serve >/tmp/said & ` +
  'until grep -q ready /tmp/said; do sleep 1; done; echo SERVING now';
/** Above the slots that Stillwire gives to NICs, so that it becomes eth1. */
const SECOND_SLOT = '0x1c';

export class GuestsTrial implements Trial {
  readonly name = 'guests';
  readonly #figures: [number[], number[]] = [[], []];
  readonly #conditions: string[] = [];
  #stage: Stage | undefined;
  #consoles: readonly GuestConsole[] = [];

  async missing(): Promise<string | undefined> {
    if ((await findProgram('qemu-system-x86_64')) === undefined) return 'QEMU is not installed';
    if ((await findProgram('cpio')) === undefined) return 'cpio is not installed';
    try {
      guestImage();
      return undefined;
    } catch (error) {
      return StillwireError.from(error).message;
    }
  }

  async open(stage: Stage): Promise<void> {
    const { ground } = stage;
    this.#stage = stage;
    const namespace = await ground.namespace('qemu');
    await makeBridge(ground, namespace);
    const directory = join(ground.directory, 'guests');
    await mkdir(directory);
    await StillwireProcess.open(ground, namespace, await guestNetwork(ground, namespace, directory));
    this.#consoles = GUESTS.map((name) => new GuestConsole(name, directory));
    const patience = { ...BOOT, signal: ground.signal };
    await Promise.all(this.#consoles.map((each) => each.said('stillwire-guest ready', patience)));
    await this.#consoles[1]!.ask(SERVE, 'SERVING', patience);
    for (const device of ['eth0', 'eth1']) {
      const told = await this.#ask(`offloads ${device}`);
      this.#conditions.push(`virtio-net, ${(JSON.parse(told) as string[]).join(' ')}, MTU 1500, vhost off`);
    }
  }

  /** Runs the traffic program in the first guest; the line that it prints. */
  #ask(words: string): Promise<string> {
    const patience = { ...BOOT, signal: this.#stage!.ground.signal };
    return this.#consoles[0]!.ask(`echo FIGURE $(${GUEST_TRAFFIC} ${words})`, 'FIGURE', patience);
  }

  async round(): Promise<void> {
    for (const [i, subnet] of SUBNETS.entries()) {
      const told = await this.#ask(`tcp ${subnet}.2 ${WARM_MS} ${2 * this.#stage!.settings.ms}`);
      this.#figures[i as 0 | 1].push((JSON.parse(told) as { bitsPerSecond: number }).bitsPerSecond);
    }
  }

  rows(): MeasuredRow[] {
    const side = (i: 0 | 1, carrier: string): MeasuredRow['ours'] => ({
      carrier,
      conditions: this.#conditions[i]!,
      figures: this.#figures[i],
    });
    return [
      judgeRow(ASKED, describePlacement(UNPINNED), side(0, 'Stillwire, guests'), side(1, 'Linux bridge')),
    ];
  }
}

/** The bridge and a TAP for each guest, which its QEMU opens by name. */
async function makeBridge(ground: Ground, namespace: string): Promise<void> {
  const ip = (...words: string[]): Promise<string> => ground.ip('-n', namespace, ...words);
  await ip('link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0');
  await ip('link', 'set', 'bridge', 'up');
  for (const guest of GUESTS) {
    await ip('tuntap', 'add', `lb-${guest}`, 'mode', 'tap', 'vnet_hdr');
    await ip('link', 'set', `lb-${guest}`, 'master', 'bridge', 'up');
  }
}

async function guestNetwork(ground: Ground, network: string, directory: string): Promise<NetworkDefinition> {
  const described = GUESTS.map((name, i) => {
    const parameters = SUBNETS.map((subnet, nic) => `sw.if=eth${nic},${subnet}.${i + 1}/24`);
    const device = `virtio-net-pci,netdev=lb,romfile=,addr=${SECOND_SLOT},ctrl_vlan=off,mac=52:54:00:5b:00:0${i + 1}`;
    const args = [
      '-netdev',
      `tap,id=lb,ifname=lb-${name},script=no,downscript=no,vhost=off`,
      '-device',
      device,
    ];
    return [name, { segments: ['lan'], parameters, args }] as const;
  });
  const definition = testNetwork(network, directory, Object.fromEntries(described));
  return booting(definition, await benchImage(ground));
}
