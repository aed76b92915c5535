/** What there is of a network whose daemon has died, for `status`: who lives, who stands still and why, what to do. */
import { peekRunState, qmpSocketOf } from '../guest/index.js';
import { adviceOf, doingOf, readRemains, toResume } from './remains.js';
import { pathsOf } from './run-directory.js';
import { isRunning } from './state-file.js';

/** How long a guest's monitor may take; a guest that is slower is `unknown`. */
const PEEK_MS = 1_000;

export interface StaleGuest {
  readonly name: string;
  readonly pid?: number;
  /** As the hypervisor tells it: running, paused, …; `ended`; `unknown` when it does not answer. */
  readonly state: string;
  /** The dead daemon had stopped it: re-attaching resumes it. */
  readonly toResume: boolean;
}

export interface StaleStatus {
  readonly network: string;
  /** What the daemon was in the middle of when it died, for a person. */
  readonly during?: string;
  readonly guests: readonly StaleGuest[];
  /** What to do, for a person. */
  readonly advice: string;
}

/** Reads, and asks the guests' monitors; changes nothing. */
export async function staleStatus(network: string): Promise<StaleStatus> {
  const paths = pathsOf(network);
  const remains = readRemains(network, paths);
  const resume = new Set(toResume(remains));
  const records = new Map(remains.state?.guests.map((record) => [record.name, record]));
  const names = new Set([...Object.keys(remains.stored?.definition.guests ?? {}), ...records.keys()]);
  const guests = [...names].map(async (name): Promise<StaleGuest> => {
    const record = records.get(name);
    if (record === undefined || !isRunning(record)) return { name, state: 'ended', toResume: false };
    const definition = remains.stored?.definition.guests[name];
    const socket = qmpSocketOf(name, definition, paths.directory);
    const state = await peekRunState(name, socket, PEEK_MS);
    return { name, pid: record.pid, state, toResume: state !== 'running' && resume.has(name) };
  });
  const during = doingOf(remains);
  return {
    network,
    ...(during === undefined ? {} : { during }),
    guests: await Promise.all(guests),
    advice: adviceOf(remains),
  };
}
