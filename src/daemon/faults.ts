/**
 * Faults at named steps, so that what is promised about failures can be tried in the real daemon.
 *
 *   STILLWIRE_FAIL_AT=step:action[,step:action…]
 *
 * Theory of operation. Whoever runs a checkpoint, a restart or a re-attaching calls `at(step)` before each of its
 * steps, in the daemon's process and at no other time; without the variable that is nothing. A fault strikes once, the
 * first time its step is reached: the same step of the next checkpoint goes well, so that one daemon can show both. A
 * step that is named and never reached strikes nobody; that it did strike is in the daemon's log, `fault` with its
 * step, written before anything happens, and for `wait` in the file `reached`. A case of a test counts only then.
 * A wrong step or action is refused at the start: a matrix of faults that never strike would look green.
 *
 *   kill    SIGKILL to this very process: what the next daemon finds is what counts
 *   term    SIGTERM to this process, and on: what systemd or a user does
 *   error   the step fails (INTERNAL, `fault injected at STEP`)
 *   wait    writes STEP and its own pid into the file `reached` in the network's run directory and waits until that file
 *           is removed, at most a minute: whoever runs the test can do worse things at exactly this step, such as
 *           killing a guest, deleting a TAP or filling the disk
 *
 * Steps, in their order. What stands between two of them has begun and has not ended when the second strikes:
 *
 *   checkpoint.  prepare hold drain recall stop sweep mark save saving resume release frames commit rename
 *     with kill  …, save saving frames commit rename committed kill
 *   restart.     verify check open load resume release
 *   attach.      guests open restore resume release remove; kill, where a checkpoint with kill is finished
 *
 * `saving`: every guest's save has begun. `rename`: the image is written and durable, under its hidden name.
 * `committed`: it has its name, and the journal does not say yet that the guests are to end; at `kill` it does.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Step } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';

const NAMES = {
  checkpoint: [
    ...['prepare', 'hold', 'drain', 'recall', 'stop', 'sweep', 'mark', 'save', 'saving', 'resume', 'release'],
    ...['frames', 'commit', 'rename', 'committed', 'kill'],
  ],
  restart: ['verify', 'check', 'open', 'load', 'resume', 'release'],
  attach: ['guests', 'open', 'restore', 'resume', 'release', 'remove', 'kill'],
} as const;
export type FaultScope = keyof typeof NAMES;

/** Every step that a fault can be put at: `checkpoint.prepare`, … */
export const FAULT_STEPS: readonly string[] = Object.entries(NAMES).flatMap(([scope, names]) =>
  names.map((name) => `${scope}.${name}`),
);
export const FAULT_ACTIONS = ['kill', 'term', 'error', 'wait'] as const;
export type FaultAction = (typeof FAULT_ACTIONS)[number];

/** How long `wait` waits for its file to be removed. */
const WAIT_BOUND_MS = 60_000;
const WAIT_POLL_MS = 10;
const REACHED_FILE = 'reached';

const isAction = (word: string | undefined): word is FaultAction =>
  FAULT_ACTIONS.some((action) => action === word);

/** @throws StillwireError USAGE naming what is not known */
export function parseFaults(text: string): Map<string, FaultAction> {
  const faults = new Map<string, FaultAction>();
  for (const word of text.split(',').filter((each) => each.trim() !== '')) {
    const [step = '', action] = word.trim().split(':');
    if (FAULT_STEPS.includes(step) && isAction(action)) {
      faults.set(step, action);
      continue;
    }
    const words = `STILLWIRE_FAIL_AT: ${JSON.stringify(word)} is not STEP:ACTION with a step of ${FAULT_STEPS.join(' ')} and an action of ${FAULT_ACTIONS.join(' ')}`;
    throw new StillwireError('USAGE', words);
  }
  return faults;
}

export interface FaultsOptions {
  /** The network's run directory. */
  readonly directory: string;
  /** Told of each strike, before it happens. */
  readonly onStrike: (step: string, action: FaultAction) => void;
  /** Default: to this process. For tests. */
  readonly signalSelf?: (signal: 'SIGKILL' | 'SIGTERM') => void;
}

function toSelf(signal: 'SIGKILL' | 'SIGTERM'): void {
  process.kill(process.pid, signal);
}

export class Faults {
  readonly #left: Map<string, FaultAction>;
  readonly #options: FaultsOptions;

  constructor(faults: ReadonlyMap<string, FaultAction>, options: FaultsOptions) {
    this.#left = new Map(faults);
    this.#options = options;
  }

  /** The steps of one kind of work, for those who do it. */
  of(scope: FaultScope): Step {
    return (step) => this.at(`${scope}.${step}`);
  }

  /** The step is about to begin. @throws StillwireError INTERNAL for `error` */
  async at(step: string): Promise<void> {
    const action = this.#left.get(step);
    if (action === undefined) return;
    this.#left.delete(step);
    this.#options.onStrike(step, action);
    const { directory, signalSelf = toSelf } = this.#options;
    if (action === 'error') throw new StillwireError('INTERNAL', `fault injected at ${step}`, { step });
    if (action === 'wait') return waitAt(step, join(directory, REACHED_FILE));
    signalSelf(action === 'kill' ? 'SIGKILL' : 'SIGTERM');
  }
}

async function waitAt(step: string, file: string): Promise<void> {
  writeFileSync(`${file}.new`, `${step} ${process.pid}\n`);
  renameSync(`${file}.new`, file); // whoever finds it finds it whole
  const deadline = performance.now() + WAIT_BOUND_MS;
  while (existsSync(file) && performance.now() < deadline) await delay(WAIT_POLL_MS);
  rmSync(file, { force: true });
}
