/** What a guest's plugin is told of the DMTCP that it is launched by. No DMTCP is needed: a program stands in its place. */
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DmtcpGroup } from '../../src/dmtcp/group.js';
import { startDmtcp } from '../../src/dmtcp/start.js';
import { DEFINITION } from './dmtcp-plugin.fixture.js';

let directory: string;
let group: DmtcpGroup;
let peers = 0;
const { PATH: path = '', STILLWIRE_DMTCP_PLUGIN: plugin } = process.env;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dmtcp-'));
  process.env['PATH'] = `${directory}:${path}`;
  process.env['STILLWIRE_DMTCP_PLUGIN'] = join(directory, 'plugin.so');
  group = await DmtcpGroup.open({
    socket: join(directory, 'sock'),
    coordinator: {
      arguments: [],
      peers: () => Promise.resolve(peers++), // whoever is launched is there when it is looked for again
      checkpoint: () => Promise.resolve(),
      end: () => Promise.resolve(),
    },
  });
});
afterEach(async () => {
  await group.close();
  process.env['PATH'] = path;
  if (plugin === undefined) delete process.env['STILLWIRE_DMTCP_PLUGIN'];
  else process.env['STILLWIRE_DMTCP_PLUGIN'] = plugin;
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
});

/** `words` are in the program, as a variable's name is in a dmtcp_launch that was built with forked checkpointing. */
function standIn(name: string, words = ''): void {
  const program = `#!/bin/sh
# ${words}
if [ "$1" = --version ]; then echo "${name} (DMTCP) 5.0.0"; exit; fi
echo "$STILLWIRE_DMTCP_KEEP_FORK" > ${join(directory, 'told.part')} && mv ${join(directory, 'told.part')} ${join(directory, 'told')}
exec sleep 60
`;
  writeFileSync(join(directory, name), program);
  chmodSync(join(directory, name), 0o755);
}

test.each([
  [
    'was built to have a child write the image: its RAM is kept for the child',
    'DMTCP_FORKED_CHECKPOINT',
    '1',
  ],
  ['was not: what the guest keeps from its children stays so', '', '0'],
])('one that %s', async (_, words, told) => {
  standIn('dmtcp_launch', words);
  standIn('dmtcp_restart');
  const guest = await startDmtcp({
    name: 'a',
    definition: { ...DEFINITION, nics: [] },
    group,
    tapFds: [],
    runDirectory: directory,
    signal: new AbortController().signal,
  });
  const heard = (): string => readFileSync(join(directory, 'told'), 'utf8').trim();
  await expect.poll(heard).toBe(told);
  await guest.kill();
});
