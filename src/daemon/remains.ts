/** What a daemon that died left behind, read without touching it: what it was in the middle of, who lives, what to do. */
import type { JournalEntry } from '../checkpoint/index.js';
import { isDmtcp } from '../definition/index.js';
import { basename } from 'node:path';
import { readDefinition, type StoredDefinition } from './definition-file.js';
import { readJournal } from './journal.js';
import type { NetworkPaths } from './run-directory.js';
import { isRunning, readState, type State } from './state-file.js';

export interface Remains {
  readonly network: string;
  /** Absent when it is of another boot, or damaged. */
  readonly state: State | undefined;
  readonly stored: StoredDefinition | undefined;
  readonly journal: JournalEntry | 'damaged' | undefined;
  /** Names of the guests that live. */
  readonly alive: readonly string[];
}

export function readRemains(network: string, paths: NetworkPaths): Remains {
  const state = readState(paths.state);
  return {
    network,
    state,
    stored: readDefinition(paths.definition),
    journal: readJournal(paths.journal, network),
    alive: (state?.guests ?? []).filter(isRunning).map(({ name }) => name),
  };
}

/** What can be taken up again. */
export interface Attachable extends Remains {
  readonly state: State & { readonly devices: Readonly<Record<string, string>> };
  readonly stored: StoredDefinition;
}

/** Why nothing of it can be taken up again, for a person; undefined when it can. */
export function obstacleOf({ state, stored, journal, alive }: Remains): string | undefined {
  if (journal !== undefined && journal !== 'damaged' && journal.phase === 'loading') {
    return 'its guests had not been loaded';
  }
  if (state === undefined || stored === undefined) return 'what it wrote down about itself is missing';
  if (state.devices === undefined) return 'it had not come up';
  const under = Object.entries(stored.definition.guests).find(([, guest]) => isDmtcp(guest));
  if (under !== undefined) return `guest ${under[0]} runs under DMTCP, which cannot be taken up again yet`;
  if (alive.length === 0 && Object.keys(stored.definition.guests).length > 0)
    return 'none of its guests lives';
  return undefined;
}

export const isAttachable = (remains: Remains): remains is Attachable => obstacleOf(remains) === undefined;

/** What the daemon was in the middle of when it died, for a person; undefined when it was nothing. */
export function doingOf({ journal }: Remains): string | undefined {
  if (journal === undefined) return undefined;
  if (journal === 'damaged') return 'something that its damaged journal does not tell';
  switch (journal.phase) {
    case 'cutting':
      return `checkpoint ${journal.checkpoint.name}, with guests stopped`;
    case 'writing':
      return `checkpoint ${journal.checkpoint.name}, with its image being written and all guests running`;
    case 'killing':
      return `checkpoint ${journal.checkpoint.name} with --kill: its image is complete, its guests were being ended`;
    case 'loading':
      return `a restart from ${basename(journal.image)}, with guests being loaded`;
    case 'resuming':
      return `a restart from ${basename(journal.image)}, with guests being resumed`;
  }
}

/** Guests that the daemon had stopped, or was about to: exactly these are resumed. */
export const toResume = ({ journal }: Remains): readonly string[] =>
  typeof journal === 'object' && 'resume' in journal ? journal.resume : [];

/** What to do about it: commands. */
export function adviceOf(remains: Remains): string {
  const { network, journal } = remains;
  const down = `\`stillwire down -n ${network}\``;
  if (typeof journal === 'object' && journal.phase === 'killing') {
    const again = `\`stillwire restart ${journal.checkpoint.name}\` brings it back`;
    return `${down} ends what is left of it, then ${again}`;
  }
  if (typeof journal === 'object' && journal.phase === 'loading') {
    return `${down}, then \`stillwire restart ${basename(journal.image)}\` again`;
  }
  const obstacle = obstacleOf(remains);
  if (obstacle !== undefined) return `${obstacle}; ${down} removes what is left`;
  const resume = toResume(remains)
    .filter((name) => remains.alive.includes(name))
    .sort();
  const and = resume.length === 0 ? '' : ` and resumes ${resume.join(', ')}`;
  return `\`stillwire up FILE\` takes it up again${and}, delivering what was held; ${down} ends it`;
}
