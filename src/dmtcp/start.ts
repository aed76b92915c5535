/**
 * Starting a QEMU under DMTCP, and bringing one back from its image.
 *
 *   start     dmtcp_launch with our plugin, the TAPs inherited ─▶ the coordinator counts one more ─▶ it runs
 *   restart   dmtcp_restart of the image ─▶ the plugin reports RESTART, from whatever process it has become ─▶ its
 *             checkpoint must be ours ─▶ the new TAPs, one by one ─▶ it waits for resume()
 *
 * It inherits the standard descriptors and its TAPs and nothing else: DMTCP would take every other for a part of it.
 */
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { transportOf, type DmtcpDefinition } from '../definition/definition.js';
import { StillwireError } from '../errors/index.js';
import { closeFd, keepInheritedFds, O_RDONLY, openFd } from '../sys/fd.js';
import { namespacePath } from '../sys/netns.js';
import { isEnding } from '../sys/pidfd.js';
import { vnetHeaderBytes } from '../sys/tap.js';
import type { DmtcpCall } from './call.js';
import type { FirstReport } from './desk.js';
import type { DmtcpGroup } from './group.js';
import { DmtcpGuest } from './guest.js';
import { DmtcpImages } from './images.js';
import { fault, type ReportOf } from './lines.js';
import { pluginFile } from './plugin-file.js';
import { canFork, dmtcpVersion } from './programs.js';
import { FoundProcess } from '../guest/found-process.js';
import type { Guest } from '../guest/guest.js';
import type { HypervisorProcess } from '../guest/hypervisor-process.js';
import { qemuArguments } from '../guest/qemu-arguments.js';
import { FIRST_FD, QemuProcess } from '../guest/qemu-process.js';

const START_BOUND_MS = 30_000;
const RESTART_BOUND_MS = 120_000;
/** How long a plugin may take to put a new NIC in the place of the old one. */
const ATTACH_BOUND_MS = 60_000;
const POLL_MS = 20;

export interface StartDmtcpOptions {
  readonly name: string;
  readonly definition: DmtcpDefinition;
  readonly group: DmtcpGroup;
  /** Our descriptors of the TAPs, in the order of the NICs. Inherited, or handed over; the caller keeps its own. */
  readonly tapFds: readonly number[];
  /** Exists. Takes the guest's log, and images that nobody asked for. */
  readonly runDirectory: string;
  /** Bring it back from this image of this checkpoint, and leave it paused. Absent: boot and run. */
  readonly incoming?: { readonly stateFile: string; readonly checkpointId: string };
  readonly attachBoundMs?: number;
  /** Ends the attempt, and only that. */
  readonly signal: AbortSignal;
}

/**
 * Starts a guest under DMTCP.
 * @throws StillwireError MISSING_PROGRAM; IMAGE_INVALID when the image is of another checkpoint; GUEST_FAILED with the
 *   words of DMTCP or QEMU; the signal's reason
 */
export async function startDmtcp(options: StartDmtcpOptions): Promise<Guest> {
  const { name, signal, incoming } = options;
  signal.throwIfAborted();
  const starting = new Starting(options);
  const kill = (): void => void starting.kill();
  signal.addEventListener('abort', kill, { once: true });
  try {
    return await (incoming === undefined ? starting.boot() : starting.bringBack(incoming));
  } catch (error) {
    await starting.kill();
    if (signal.aborted) throw signal.reason;
    const { code } = StillwireError.from(error);
    const words = (await starting.explain(error)).replace(`guest ${name}: `, '');
    const about = incoming === undefined ? 'could not be started' : 'could not be brought back';
    const plain = code === 'GUEST_DIED' || code === 'INTERNAL' ? 'GUEST_FAILED' : code;
    throw new StillwireError(plain, `guest ${name} ${about}: ${words}`, { guest: name }, error);
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

class Starting {
  readonly #options: StartDmtcpOptions;
  #child: QemuProcess | undefined;
  /** The process that dmtcp_restart has made, when it is not itself. */
  #other: FoundProcess | undefined;
  #killed = false;

  constructor(options: StartDmtcpOptions) {
    this.#options = options;
  }

  get #logFile(): string {
    return join(this.#options.runDirectory, `${this.#options.name}.log`);
  }

  async boot(): Promise<Guest> {
    const { name, definition, group, tapFds } = this.#options;
    const [version, images] = await this.#preliminaries();
    const plugin = await pluginFile();
    const forks = await canFork();
    if (definition.dmtcp.forked && !forks) {
      throw new StillwireError('GUEST_FAILED', 'this DMTCP was built without --enable-forked-checkpointing');
    }
    const place = await group.launch();
    const { plugins } = definition.dmtcp;
    const args = [
      ...this.#common(images),
      ...['--with-plugin', [...plugins, plugin].join(':')],
      ...(definition.dmtcp.gzip ? ['--gzip'] : ['--no-gzip']),
      definition.qemu,
      ...qemuArguments(definition, {
        name,
        tapFds: tapFds.map((_, index) => FIRST_FD + index),
        incoming: false,
      }),
    ];
    // A hypervisor keeps its guest's RAM from its children: where a child may come to write the image, it has to have it.
    const cure = { STILLWIRE_DMTCP_KEEP_FORK: forks ? '1' : '0' };
    const process = await this.#spawn('dmtcp_launch', args, tapFds, cure);
    await this.#patiently(START_BOUND_MS, 'DMTCP has not taken it up', async () => {
      return (await group.coordinator.peers()) >= place;
    });
    return await this.#guest(process, images, version);
  }

  async bringBack({ stateFile, checkpointId }: NonNullable<StartDmtcpOptions['incoming']>): Promise<Guest> {
    const { name, group } = this.#options;
    const [version, images] = await this.#preliminaries();
    const image = openFd(stateFile, O_RDONLY);
    // DMTCP wants a name that ends so, and our file may be known by a descriptor only.
    const link = join(this.#options.runDirectory, `${name}.dmtcp`);
    try {
      rmSync(link, { force: true });
      symlinkSync(`/proc/${process.pid}/fd/${image}`, link);
      const reported = this.#report();
      const child = await this.#spawn('dmtcp_restart', [...this.#common(images), link], []);
      let call: DmtcpCall | undefined;
      let report: ReportOf<'RESTART'> | undefined;
      void reported.then((first) => ([call, report] = first));
      await this.#patiently(RESTART_BOUND_MS, 'its DMTCP plugin has not reported', () =>
        Promise.resolve(call !== undefined),
      );
      if (call === undefined || report === undefined) throw fault('has not reported');
      const became = this.#become(child, call);
      await this.#attach(call, report, checkpointId);
      return await this.#guest(became, images, version, call);
    } catch (error) {
      group.desk.leave(name);
      throw error;
    } finally {
      rmSync(link, { force: true });
      closeFd(image);
    }
  }

  #preliminaries(): Promise<[string, DmtcpImages]> {
    const { name, runDirectory } = this.#options;
    return Promise.all([dmtcpVersion('dmtcp_restart'), DmtcpImages.open(name, runDirectory)]);
  }

  #common(images: DmtcpImages): string[] {
    const { group, runDirectory } = this.#options;
    return [...group.coordinator.arguments, '--ckptdir', images.directory, '--tmpdir', runDirectory];
  }

  /** Descriptors that it inherits as the sockets of its NICs: what they are it could not tell from others. */
  get #sockets(): number[] {
    const { nics } = this.#options.definition;
    return nics.flatMap((nic, index) => (transportOf(nic) === 'dgram' ? [FIRST_FD + index] : []));
  }

  async #spawn(
    program: string,
    args: readonly string[],
    fds: readonly number[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<QemuProcess> {
    const { name, group, definition } = this.#options;
    const environment = {
      ...more,
      STILLWIRE_DMTCP_SOCKET: group.desk.path,
      STILLWIRE_GUEST: name,
      STILLWIRE_DMTCP_UNREACHABLE: definition.dmtcp.unreachable,
      STILLWIRE_DMTCP_SOCKETS: this.#sockets.join(','),
    };
    const logFile = this.#logFile;
    keepInheritedFds(); // a shell's pipe, say: DMTCP would restore it as something else, and a restart wait for it for ever
    const { netns } = definition.dmtcp;
    // The process is nsenter's own, which becomes the program.
    const started =
      netns === undefined
        ? { program, args }
        : { program: 'nsenter', args: [`--net=${namespacePath(netns)}`, program, ...args] };
    this.#child = await QemuProcess.start({ guest: name, ...started, fds, logFile, environment });
    if (this.#killed) await this.#child.kill();
    return this.#child;
  }

  /** Waits until `isDone`. @throws StillwireError GUEST_DIED when the process ends first; GUEST_FAILED after the bound */
  async #patiently(boundMs: number, words: string, isDone: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + boundMs;
    while (!(await isDone())) {
      this.#options.signal.throwIfAborted();
      const child = this.#child!;
      if (child.pid === undefined) throw new StillwireError('GUEST_DIED', await child.ended);
      if (performance.now() > end)
        throw new StillwireError('GUEST_FAILED', `${words} within ${boundMs / 1000} s`);
      await delay(POLL_MS);
    }
  }

  #report(): Promise<[DmtcpCall, ReportOf<'RESTART'>]> {
    const { name, group } = this.#options;
    return new Promise((resolve) => {
      group.desk.attend(name, (call: DmtcpCall, report: FirstReport) => {
        if (report.word !== 'RESTART') return 'this guest is being restarted';
        group.desk.leave(name);
        resolve([call, report]);
        return undefined;
      });
    });
  }

  /** The process that the plugin is in: what we started, or what that has started. */
  #become(child: QemuProcess, call: DmtcpCall): HypervisorProcess {
    if (call.pid === child.pid) return child;
    this.#other = FoundProcess.open({ guest: this.#options.name, pid: call.pid, logFile: this.#logFile });
    return this.#other;
  }

  /** @throws StillwireError IMAGE_INVALID, GUEST_FAILED; the plugin has been told, and its process ends */
  async #attach(call: DmtcpCall, report: ReportOf<'RESTART'>, checkpointId: string): Promise<void> {
    const { tapFds, attachBoundMs = ATTACH_BOUND_MS } = this.#options;
    const refuse = async (code: 'IMAGE_INVALID' | 'GUEST_FAILED', words: string): Promise<never> => {
      call.answer('REFUSE', { reason: words });
      call.hangUp();
      await this.#child?.settle(); // it ends by itself, and leaves the reason in its log
      throw new StillwireError(code, words);
    };
    if (report.checkpoint !== checkpointId) {
      const whose = report.checkpoint === 'none' ? 'no checkpoint' : `checkpoint ${report.checkpoint}`;
      await refuse(
        'IMAGE_INVALID',
        `its DMTCP image is of ${whose}, not of ${checkpointId}: its hold had ended`,
      );
    }
    if (report.nics !== tapFds.length) {
      await refuse(
        'GUEST_FAILED',
        `its DMTCP image has ${report.nics} NICs, and ${tapFds.length} are defined`,
      );
    }
    const isSocket = (nic: number): boolean => this.#sockets.includes(FIRST_FD + nic);
    for (const [nic, fd] of tapFds.entries()) {
      call.attach(nic, isSocket(nic) ? 0 : vnetHeaderBytes(fd), fd);
      const answer = await call.next(attachBoundMs);
      if (answer.word !== 'ATTACHED') throw fault(`sent ${answer.word} where ATTACHED comes`);
      if (answer.nic !== nic)
        throw fault(`sent ATTACHED of NIC ${answer.nic} where that of NIC ${nic} comes`);
    }
  }

  async #guest(
    process: HypervisorProcess,
    images: DmtcpImages,
    version: string,
    call?: DmtcpCall,
  ): Promise<Guest> {
    await images.settle();
    const { name, definition, group, runDirectory } = this.#options;
    const waiting = call && { waiting: () => this.#letGo(process, call) };
    return new DmtcpGuest({ name, definition, process, group, images, version, runDirectory, ...waiting });
  }

  /** Lets one that was brought back run. @throws StillwireError GUEST_DIED, GUEST_FAILED when it does not */
  async #letGo(process: HypervisorProcess, call: DmtcpCall): Promise<void> {
    const { name } = this.#options;
    const failed = (code: 'GUEST_DIED' | 'GUEST_FAILED', words: string): StillwireError =>
      new StillwireError(code, `guest ${name}: ${words}`, { guest: name });
    const isGone = call.over; // one that hung up before ends of it
    call.answer('GO');
    const late = delay(START_BOUND_MS, 'late', { ref: false });
    if ((await Promise.race([call.ended, late])) === 'late') {
      throw failed('GUEST_FAILED', `it does not run ${START_BOUND_MS / 1000} s after it was brought back`);
    }
    const { pid } = process;
    if (pid !== undefined && !isGone && !isEnding(pid)) return;
    await process.settle(); // its line is closed before its end is seen
    const how = process.pid === undefined ? await process.ended : 'it is ending';
    throw failed('GUEST_DIED', `it died where it was to run on: ${how}`);
  }

  /** Why it failed, in words: what the process said last, when it has ended of it. */
  async explain(error: unknown): Promise<string> {
    const words = error instanceof Error ? error.message : String(error);
    const said = this.#child?.lastWords() ?? '';
    return Promise.resolve(said === '' || words.includes(said) ? words : `${words}; ${said}`);
  }

  async kill(): Promise<void> {
    this.#killed = true;
    await Promise.all([this.#child?.kill(), this.#other?.kill()]);
  }
}
