/**
 * The fault matrix: what is done (operation), where in it (step), and what goes wrong there (fault).
 *
 * Left out, by rule:
 *   client gone, at a restart or a re-attaching   the command has handed the work to the daemon; there it is `term`
 *   a disk or directory that goes, before there is a draft, or when the image has its name
 *   a guest or TAP that goes, while there is none
 *   attach.kill                                   a finished kill, which `kill` at `checkpoint.kill` leads to
 *   faults of the surroundings at steps between two others of theirs: what stands still is the same
 */
import { FAULT_STEPS } from '../daemon/faults.js';

export const OPERATIONS = ['checkpoint', 'kill', 'restart', 'attach', 'hold'] as const;
/** `checkpoint`: in place. `kill`: with the end of the guests. `attach`: `up` after a kill -9. `hold`: a leased hold. */
export type Operation = (typeof OPERATIONS)[number];

export const FAULTS = [
  'daemon killed',
  'SIGTERM',
  'step fails',
  'guest killed',
  'guest reset',
  'QMP silent',
  'disk full',
  'directory gone',
  'TAP deleted',
  'client gone',
  'lease over',
] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultCase {
  readonly operation: Operation;
  /** As FAULT_STEPS names it; `hold.held` for a hold that lasts. */
  readonly step: string;
  readonly fault: Fault;
}

export const nameOf = ({ operation, step, fault }: FaultCase): string => `${operation} ${step} ${fault}`;

/**
 * How the command may end. Where something dies that was not needed any more, or is there again in time, all went well;
 * else the error says what happened. (A client that is killed says nothing.)
 */
export const OUTCOMES: Readonly<Record<Fault, readonly string[]>> = {
  'daemon killed': ['DAEMON_UNREACHABLE', 'INTERNAL', 'exit 3'], // 3: a hold around a command says it in words
  SIGTERM: ['INTERRUPTED', 'done'],
  'step fails': ['INTERNAL'],
  'guest killed': ['GUEST_DIED', 'done'],
  'guest reset': ['GUEST_DIED', 'done'],
  'QMP silent': ['PORT_UNREADY', 'QMP_TIMEOUT', 'done'],
  'disk full': ['COMMIT_FAILED', 'GUEST_FAILED', 'done'],
  'directory gone': ['COMMIT_FAILED'],
  'TAP deleted': ['SYSCALL', 'done'],
  'client gone': ['exit -1'],
  'lease over': ['exit 5'], // likewise: the hold is lost
};

/** Faults of the process itself: everywhere. */
const OWN: readonly Fault[] = ['daemon killed', 'SIGTERM', 'step fails'];
/** Faults of what is around it, at the steps where something else stands still. */
const AROUND: Readonly<Record<string, readonly Fault[]>> = {
  'checkpoint.hold': [
    'guest killed',
    'guest reset',
    'QMP silent',
    'TAP deleted',
    'client gone',
    'directory gone',
  ],
  'checkpoint.stop': ['guest killed', 'guest reset', 'QMP silent', 'TAP deleted', 'client gone', 'disk full'],
  'checkpoint.mark': ['guest killed', 'TAP deleted', 'client gone', 'directory gone'],
  'checkpoint.saving': [
    'guest killed',
    'QMP silent',
    'TAP deleted',
    'client gone',
    'disk full',
    'directory gone',
  ],
  'checkpoint.resume': ['guest killed', 'QMP silent', 'TAP deleted', 'client gone'],
  'checkpoint.frames': [
    'guest killed',
    'guest reset',
    'TAP deleted',
    'client gone',
    'disk full',
    'directory gone',
  ],
  'checkpoint.commit': ['guest killed', 'QMP silent', 'client gone', 'disk full', 'directory gone'],
  'checkpoint.rename': ['guest killed', 'client gone', 'directory gone'],
  'checkpoint.committed': ['guest killed', 'client gone'],
  'restart.resume': ['guest killed', 'QMP silent', 'TAP deleted'],
  'restart.release': ['guest killed', 'TAP deleted'],
  'attach.resume': ['guest killed', 'TAP deleted'],
};
const IN_PLACE_ONLY: readonly string[] = ['checkpoint.resume', 'checkpoint.release'];
const KILL_ONLY: readonly string[] = ['checkpoint.committed', 'checkpoint.kill'];

/** Every row, in the order of the steps. */
export function allCases(): FaultCase[] {
  const cases: FaultCase[] = [];
  const add = (operation: Operation, step: string): void => {
    for (const fault of [...OWN, ...(AROUND[step] ?? [])]) cases.push({ operation, step, fault });
  };
  for (const step of FAULT_STEPS) {
    const [scope] = step.split('.');
    if (scope === 'restart') add('restart', step);
    else if (scope === 'attach') {
      if (step !== 'attach.kill') add('attach', step);
    } else {
      if (!KILL_ONLY.includes(step)) add('checkpoint', step);
      if (!IN_PLACE_ONLY.includes(step)) add('kill', step);
    }
  }
  cases.push({ operation: 'hold', step: 'hold.held', fault: 'lease over' });
  cases.push({ operation: 'hold', step: 'hold.held', fault: 'client gone' });
  cases.push({ operation: 'hold', step: 'hold.held', fault: 'daemon killed' });
  return cases;
}

/** A third of them: every step and every fault of each operation at least once. */
export function quickCases(cases: readonly FaultCase[]): FaultCase[] {
  const seen = new Set<string>();
  return cases.filter(({ operation, step, fault }) => {
    const before = seen.size;
    seen.add(`${operation} ${step}`).add(`${operation} ${fault}`);
    return seen.size > before;
  });
}
