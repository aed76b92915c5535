import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  checkpointsDirectory,
  defaultName,
  findCheckpoint,
  isName,
  listCheckpoints,
  removeCheckpoint,
  stateDirectory,
} from '../../src/image/index.js';
import { commitSample, scratch } from './image-sample.js';

describe('the state directory', () => {
  it.each<[string, NodeJS.ProcessEnv, number, string]>([
    ['root', { HOME: '/root', XDG_STATE_HOME: '/x' }, 0, '/var/lib/stillwire'],
    ['a user', { HOME: '/home/u' }, 1000, '/home/u/.local/state/stillwire'],
    ['a user with XDG', { HOME: '/home/u', XDG_STATE_HOME: '/x' }, 1000, '/x/stillwire'],
    [
      'a relative XDG, which is ignored',
      { HOME: '/home/u', XDG_STATE_HOME: 'x' },
      1000,
      '/home/u/.local/state/stillwire',
    ],
    ['one who chooses', { HOME: '/root', STILLWIRE_STATE: '/chosen' }, 0, '/chosen'],
    ['an empty choice, which is none', { STILLWIRE_STATE: '' }, 0, '/var/lib/stillwire'],
  ])('of %s', (_, environment, uid, expected) => {
    expect(stateDirectory(environment, uid)).toBe(expected);
  });

  it('has a directory per network, unless the file names one', () => {
    expect(checkpointsDirectory('/s', 'lab')).toBe('/s/lab');
    expect(checkpointsDirectory('/s', 'lab', '/own')).toBe('/own');
  });

  it('gives a checkpoint without a name a valid one that sorts by time', () => {
    const name = defaultName(new Date('2025-03-04T05:06:07.089Z'));
    expect(name).toBe('2025-03-04T05-06-07.089Z');
    expect(isName(name)).toBe(true);
  });
});

describe('stored checkpoints', () => {
  let state: string;
  beforeEach(async () => {
    state = await scratch();
    await commitSample(join(state, 'lab'), 'late', { takenAt: '2025-03-05T00:00:00Z' });
    await commitSample(join(state, 'lab'), 'early', { takenAt: '2025-03-03T00:00:00Z' });
    await commitSample(join(state, 'other'), 'late', { takenAt: '2025-03-04T00:00:00Z' });
  });
  const shown = async (network?: string): Promise<string[]> =>
    (await listCheckpoints(state, network)).map(({ path }) => relative(state, path));

  it('are listed by time, of all networks or one', async () => {
    expect(await shown()).toEqual(['lab/early', 'other/late', 'lab/late']);
    expect(await shown('lab')).toEqual(['lab/early', 'lab/late']);
    expect(await shown('none')).toEqual([]);
    expect(await shown('..')).toEqual([]);
    expect(await listCheckpoints(state, 'other')).toEqual([
      {
        name: 'late',
        network: 'other',
        path: join(state, 'other/late'),
        takenAt: '2025-03-04T00:00:00Z',
        method: 'count',
        proven: true,
        inFlightFrames: 3,
        guests: 2,
        bytes: expect.any(Number) as number,
      },
    ]);
    expect(await listCheckpoints(join(state, 'nothing here'))).toEqual([]);
  });

  it('are listed with their fault when damaged; what is none is not', async () => {
    await rm(join(state, 'lab/early/manifest.sha256'));
    await mkdir(join(state, 'lab/.late.partial-1-1-00000000-000000000000'));
    await mkdir(join(state, 'lab/empty'));
    await writeFile(join(state, 'lab/file'), '');
    await symlink(join(state, 'lab/late'), join(state, 'lab/link'));
    expect(await shown('lab')).toEqual(['lab/late', 'lab/early']);
    expect((await listCheckpoints(state, 'lab'))[1]!.fault).toContain('manifest.sha256 is missing');
  });

  it('are found by name when it is clear which is meant', async () => {
    expect(await findCheckpoint(state, 'early')).toBe(join(state, 'lab/early'));
    expect(await findCheckpoint(state, 'late', 'other')).toBe(join(state, 'other/late'));
    await expect(findCheckpoint(state, 'late')).rejects.toMatchObject({ code: 'CHECKPOINT_AMBIGUOUS' });
    for (const name of ['none', '', '..', '.', 'lab/early']) {
      await expect(findCheckpoint(state, name)).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    }
    await expect(findCheckpoint(state, 'early', 'other')).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
  });

  it('are found by path', async () => {
    const path = join(state, 'lab/early');
    expect(await findCheckpoint('/nowhere', path)).toBe(path);
    expect(await findCheckpoint('/nowhere', relative(process.cwd(), path))).toBe(path);
    expect(await findCheckpoint('/nowhere', `${path}/`)).toBe(path);
  });

  it('are looked for in the directory of the file instead, when it names one', async () => {
    const own = await scratch();
    await commitSample(own, 'here');
    expect(await findCheckpoint(state, 'here', 'lab', own)).toBe(join(own, 'here'));
    await expect(findCheckpoint(state, 'early', 'lab', own)).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
    expect(await listCheckpoints(state, 'lab', own)).toMatchObject([{ name: 'here', network: 'lab' }]);
  });

  it('are removed, damaged ones too', async () => {
    await removeCheckpoint(join(state, 'lab/late'));
    await writeFile(join(state, 'lab/early/manifest.json'), 'rubbish');
    await removeCheckpoint(join(state, 'lab/early'));
    expect(await readdir(join(state, 'lab'))).toEqual([]);
  });

  it('are the only thing that is removed', async () => {
    const mine = join(state, 'extension');
    await mkdir(mine);
    await writeFile(join(mine, 'manifest.json'), '{"manifest_version": 3}');
    await symlink(join(state, 'lab/late'), join(state, 'link'));
    for (const path of [mine, join(state, 'link'), join(state, 'lab'), join(state, 'none')]) {
      await expect(removeCheckpoint(path)).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    }
    expect(await readdir(mine)).toEqual(['manifest.json']);
    expect(await readdir(join(state, 'lab'))).toEqual(['early', 'late']);
  });
});
