/** `list` and `remove`: the stored checkpoints. */
import { removeCheckpoint, type CheckpointSummary } from '../image/index.js';
import { defineCommand } from './command.js';
import { bytes, instant, table } from './format.js';
import { find, listAll } from './places.js';

const provenWord = (proven: boolean | undefined): string | undefined =>
  proven === undefined ? undefined : proven ? 'yes' : 'no';

export function describeList(checkpoints: readonly CheckpointSummary[]): string {
  const rows = checkpoints.map((each) => [
    each.name,
    each.network,
    each.fault === undefined ? each.takenAt && instant(each.takenAt) : 'damaged',
    each.guests,
    each.inFlightFrames,
    provenWord(each.proven),
    each.bytes === undefined ? undefined : bytes(each.bytes),
  ]);
  return table(['NAME', 'NETWORK', 'TAKEN', 'GUESTS', 'FRAMES', 'PROVEN', 'SIZE'], rows);
}

export const list = defineCommand({
  usage: 'list',
  group: 'checkpoint',
  summary: 'what is stored, oldest first',
  async run(session) {
    const checkpoints = await listAll(session);
    if (checkpoints.length === 0 && !session.flags.json) {
      await session.say(`no checkpoint in ${session.stateDirectory}`);
      return undefined;
    }
    await session.document({ checkpoints }, () => describeList(checkpoints));
    return undefined;
  },
});

export const remove = defineCommand({
  usage: 'remove <checkpoint>',
  group: 'checkpoint',
  summary: 'delete one, without asking',
  undoes: true,
  async run(session, [name = '']) {
    const { path } = await find(session, name);
    await removeCheckpoint(path);
    await session.document({ removed: path }, () => `removed ${path}`);
    return undefined;
  },
});
