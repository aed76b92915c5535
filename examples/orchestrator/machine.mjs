// @ts-check
/* global AbortController, AbortSignal */
/**
 * A "machine" that is none of Stillwire's: a process in a network namespace. It is saved by being stopped: SIGSTOP
 * leaves its memory, its sockets and their buffers where they are.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('./traffic.mjs', import.meta.url));
const STOP_BOUND_MS = 5000;
const ANSWER_BOUND_MS = 10_000;

/** @param {string[]} words */
export const ip = async (...words) => (await execute('ip', words)).stdout;

export class Machine {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  #ended = new AbortController();

  /**
   * @param {string} name
   * @param {string} namespace
   * @param {import('./traffic.mjs').Station} station
   */
  constructor(name, namespace, station) {
    this.name = name;
    this.namespace = namespace;
    this.station = station;
  }

  async makeNamespace() {
    await ip('netns', 'add', this.namespace);
  }

  /** Starts the program; it has its sockets when this resolves, and sends nothing yet. @param {unknown} orders */
  async start(orders) {
    const into = [`--net=/run/netns/${this.namespace}`, process.execPath, PROGRAM, JSON.stringify(orders)];
    this.#process = spawn('nsenter', into, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.once('exit', (code, signal) => {
      this.#ended.abort(new Error(`the program of ${this.name} has ended (${signal ?? code})`));
    });
    await this.#message();
  }

  get #running() {
    this.#ended.signal.throwIfAborted();
    const child = this.#process;
    if (child?.pid === undefined) throw new Error(`${this.name} was not started`);
    return { child, pid: child.pid };
  }

  async #message() {
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(ANSWER_BOUND_MS)]);
    try {
      return (await once(this.#running.child, 'message', { signal }))[0];
    } catch (error) {
      throw signal.reason ?? error; // once() says no more than that it was aborted
    }
  }

  /**
   * Gives an order and returns the program's report.
   * @param {'start' | 'finish' | 'report'} order
   * @returns {Promise<import('./traffic.mjs').Report>}
   */
  async ask(order) {
    const answer = this.#message();
    this.#running.child.send(order);
    return answer;
  }

  /** Stops the process; when this resolves none of its threads runs, so it sends nothing more. */
  async stop() {
    const { pid } = this.#running;
    process.kill(pid, 'SIGSTOP'); // returns before the threads have stopped
    const until = Date.now() + STOP_BOUND_MS;
    while (!(await isStopped(pid))) {
      if (Date.now() > until) throw new Error(`${this.name} does not stop`);
      await sleep(1);
    }
  }

  async resume() {
    process.kill(this.#running.pid, 'SIGCONT');
  }

  /** The device as its namespace sees it, or undefined when it is not there. */
  async device() {
    const links = JSON.parse(await ip('-n', this.namespace, '-j', 'address', 'show'));
    const link = links.find((/** @type {any} */ { ifname }) => ifname === 'eth0');
    if (link === undefined) return undefined;
    const global = link.addr_info.filter((/** @type {any} */ { scope }) => scope === 'global');
    const addresses = global.map((/** @type {any} */ { local, prefixlen }) => `${local}/${prefixlen}`);
    return { mac: link.address, addresses };
  }

  /**
   * What a namespace loses with its device and the network's definition does not know: who is in which group, and
   * the neighbours' MAC addresses.
   * @param {string} group
   * @param {readonly { address: string, mac: string }[]} neighbours
   */
  async furnish(group, neighbours) {
    const { namespace } = this;
    await ip('-n', namespace, 'address', 'add', `${group}/32`, 'dev', 'eth0', 'autojoin');
    for (const { address, mac } of neighbours) {
      await ip(
        '-n',
        namespace,
        'neighbour',
        'replace',
        address,
        'lladdr',
        mac,
        'dev',
        'eth0',
        'nud',
        'permanent',
      );
    }
  }

  /** Ends the process and removes the namespace, whatever state they are in. */
  async end() {
    this.#process?.kill('SIGKILL'); // ends a stopped process too
    await ip('netns', 'delete', this.namespace).catch(() => undefined); // it may never have been made
  }
}

/** Whether every thread of the process is in state T (proc_pid_stat(5)). @param {number} pid */
async function isStopped(pid) {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = threads.map(async (thread) => {
    const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  });
  return (await Promise.all(states)).every((state) => state === 'T');
}
