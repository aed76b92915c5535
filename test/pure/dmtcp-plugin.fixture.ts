/** A stand-in for the DMTCP plugin in a guest's process, spoken by hand; and guests whose process is this very one. */
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DmtcpDefinition } from '../../src/definition/definition.js';
import { DmtcpGroup } from '../../src/dmtcp/group.js';
import { DmtcpGuest } from '../../src/dmtcp/guest.js';
import { DmtcpImages } from '../../src/dmtcp/images.js';
import { HypervisorProcess } from '../../src/guest/hypervisor-process.js';

/** The other end of a line. */
export class Plugin {
  readonly #socket: Socket;
  #text = '';
  #over = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => (this.#text += text));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.#over = true));
    socket.on('end', () => socket.end());
  }

  static async dial(path: string): Promise<Plugin> {
    const socket = connect({ path });
    await once(socket, 'connect');
    return new Plugin(socket);
  }

  say(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  raw(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  /** The next line it is told; `hung up` when that is what comes. */
  async hear(withinMs = 2000): Promise<string> {
    const end = performance.now() + withinMs;
    for (;;) {
      const at = this.#text.indexOf('\n');
      if (at >= 0) {
        const line = this.#text.slice(0, at);
        this.#text = this.#text.slice(at + 1);
        return line;
      }
      if (this.#over) return 'hung up';
      if (performance.now() > end) return 'silence';
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async ask(line: string, withinMs?: number): Promise<string> {
    this.say(line);
    return this.hear(withinMs);
  }

  hangUp(): void {
    this.#socket.destroy();
  }
}

/** This process, which a plugin's credentials show too; it ends when told so. */
class OwnProcess extends HypervisorProcess {
  readonly ended: Promise<string>;
  pid: number | undefined = process.pid;
  #end!: (reason: string) => void;

  constructor(directory: string) {
    super(join(directory, 'log'));
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  kill(): Promise<void> {
    this.pid = undefined;
    this.#end('it was ended');
    return Promise.resolve();
  }
}

/** One guest with one NIC. */
export const DEFINITION: DmtcpDefinition = {
  qemu: '/bin/true',
  accel: 'tcg',
  machine: 'q35',
  cpus: 1,
  memory: 64,
  args: [],
  nics: [{ name: 'nic0', segment: 'lan', mac: '52:54:00:00:00:01', mtu: 1500, model: 'virtio-net-pci' }],
  dmtcp: { plugins: [], gzip: false, forked: false, unreachable: 'go' },
};

/** A group with guests, and a coordinator that only counts what it is asked. */
export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'dmtcp-'));
  readonly guests = new Map<string, DmtcpGuest>();
  readonly images = new Map<string, DmtcpImages>();
  /** Checkpoints the coordinator was asked for. */
  asked = 0;
  /** Those it has begun. */
  granted = 0;
  /** What it says to that; undefined: it does it. */
  refuses: Error | undefined;
  group!: DmtcpGroup;

  static async open(
    names: readonly string[],
    reportBoundMs = 300,
    forked = false,
    stallBoundMs?: number,
  ): Promise<Lab> {
    const lab = new Lab();
    lab.group = await DmtcpGroup.open({
      socket: lab.socket,
      reportBoundMs,
      ...(stallBoundMs === undefined ? {} : { stallBoundMs }),
      coordinator: {
        arguments: [],
        peers: () => Promise.resolve(names.length),
        checkpoint: () => {
          lab.asked++;
          if (lab.refuses !== undefined) return Promise.reject(lab.refuses);
          lab.granted++;
          return Promise.resolve();
        },
        end: () => Promise.resolve(),
      },
    });
    const definition = { ...DEFINITION, dmtcp: { ...DEFINITION.dmtcp, forked } };
    for (const name of names) {
      const images = await DmtcpImages.open(name, lab.directory);
      await images.settle();
      lab.images.set(name, images);
      const parts = {
        name,
        definition,
        group: lab.group,
        images,
        version: '5.0.0',
        runDirectory: lab.directory,
      };
      lab.guests.set(name, new DmtcpGuest({ ...parts, process: new OwnProcess(lab.directory) }));
    }
    return lab;
  }

  get socket(): string {
    return join(this.directory, 'sock');
  }

  guest(name: string): DmtcpGuest {
    const guest = this.guests.get(name);
    if (guest === undefined) throw new Error(`no guest ${name}`);
    return guest;
  }

  dial(): Promise<Plugin> {
    return Plugin.dial(this.socket);
  }

  /** A plugin that has said the first word; what it is answered is not waited for. */
  async begins(guest: string, nics = 1): Promise<Plugin> {
    const plugin = await this.dial();
    plugin.say(`PRESUSPEND version=1 guest=${guest} pid=7 nics=${nics}`);
    return plugin;
  }

  /** As DMTCP does it: under another name until it is whole. */
  async writeImage(guest: string, content: string): Promise<void> {
    await writeFile(join(this.images.get(guest)!.directory, 'ckpt_qemu.dmtcp'), content, { mode: 0o640 });
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 }); // a link may just be turned
  }
}
