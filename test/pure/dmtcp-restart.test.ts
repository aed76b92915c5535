/** Bringing a guest back under DMTCP, without it: a program in the place of dmtcp_restart speaks as the plugin would. */
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { startDmtcp } from '../../src/dmtcp/start.js';
import { DmtcpGroup } from '../../src/dmtcp/group.js';
import type { Guest } from '../../src/guest/guest.js';
import { DEFINITION, Plugin } from './dmtcp-plugin.fixture.js';

const ID = '0b1d2c3e-1111-2222-3333-444455556666';
const OTHER = '99999999-1111-2222-3333-444455556666';

/** Says what a test wants, writes down what it is told, and ends as the plugin does. */
const RESTART = `#!${process.execPath}
const { appendFileSync } = require('node:fs');
if (process.argv.includes('--version')) { console.log('dmtcp_restart (DMTCP) 5.0.0'); process.exit(0); }
const { SAYS, HEARD, STILLWIRE_DMTCP_SOCKET: path } = process.env;
if (SAYS === 'nothing and ends') { console.error('no such image'); process.exit(3); }
const socket = require('node:net').connect(path, () => socket.write(SAYS + '\\n'));
socket.on('data', (data) => {
  appendFileSync(HEARD, String(data));
  if (String(data).startsWith('REFUSE')) process.exit(98);
  if (String(data).startsWith('ATTACH') && process.env.ATTACHED === 'hung up') process.exit(98);
  if (String(data).startsWith('ATTACH') && process.env.ATTACHED) socket.write(process.env.ATTACHED + '\\n');
  if (String(data).startsWith('GO') && process.env.DIES) process.kill(process.pid, 'SIGKILL');
  if (String(data).startsWith('GO')) socket.end();
});
socket.on('close', () => undefined);
setInterval(() => undefined, 1000);
`;

let directory: string;
let group: DmtcpGroup;
let guest: Guest | undefined;
const path = process.env['PATH'] ?? '';

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dmtcp-'));
  writeFileSync(join(directory, 'dmtcp_restart'), RESTART);
  chmodSync(join(directory, 'dmtcp_restart'), 0o755);
  writeFileSync(join(directory, 'state'), 'an image');
  writeFileSync(join(directory, 'heard'), '');
  process.env['PATH'] = `${directory}:${path}`;
  process.env['HEARD'] = join(directory, 'heard');
  group = await DmtcpGroup.open({
    socket: join(directory, 'sock'),
    coordinator: {
      arguments: [],
      peers: () => Promise.resolve(0),
      checkpoint: () => Promise.resolve(),
      end: () => Promise.resolve(),
    },
  });
});
afterEach(async () => {
  await guest?.kill();
  guest = undefined;
  await group.close();
  process.env['PATH'] = path;
  delete process.env['ATTACHED'];
  delete process.env['DIES'];
  await rm(directory, { recursive: true, force: true });
});

const heard = (): string => readFileSync(join(directory, 'heard'), 'utf8');

const NIC = DEFINITION.nics[0]!;

/** @param sockets descriptors for NICs, one each */
async function bringBack(says: string, sockets: readonly number[] = []): Promise<Guest> {
  process.env['SAYS'] = says;
  guest = await startDmtcp({
    name: 'a',
    group,
    tapFds: sockets,
    attachBoundMs: 300,
    runDirectory: directory,
    incoming: { stateFile: join(directory, 'state'), checkpointId: ID },
    signal: new AbortController().signal,
    definition: { ...DEFINITION, nics: sockets.map(() => ({ ...NIC, transport: 'dgram' as const })) },
  });
  return guest;
}

test('it is paused until it is resumed, and has the version of DMTCP in its identity', async () => {
  const back = await bringBack(`RESTART version=1 guest=a pid=40000 checkpoint=${ID} nics=0`);
  expect(await back.runState()).toBe('paused');
  expect(heard()).toBe('');
  expect(await back.identity()).toMatchObject({ kind: 'dmtcp', version: '5.0.0', hashes: {} });
  await back.resume();
  expect(heard()).toBe('GO\n');
  expect(await back.runState()).toBe('running');
});

test.each([
  ['an image of another checkpoint', `checkpoint=${OTHER} nics=0`, 'IMAGE_INVALID', OTHER],
  ['an image of none, whose hold had ended', 'checkpoint=none nics=0', 'IMAGE_INVALID', 'of no checkpoint'],
  ['an image with other TAPs', `checkpoint=${ID} nics=2`, 'GUEST_FAILED', '2 NICs'],
])('%s is refused, with the guest named, and its process told why', async (_what, rest, code, words) => {
  const error: unknown = await bringBack(`RESTART version=1 guest=a pid=40000 ${rest}`).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StillwireError);
  expect(error).toMatchObject({ code });
  expect((error as StillwireError).message).toContain('guest a');
  expect((error as StillwireError).message).toContain(words);
  expect(heard()).toMatch(/^REFUSE reason=/);
});

test('one that ends without a word is told with what it wrote', async () => {
  await expect(bringBack('nothing and ends')).rejects.toThrow(/guest a.*code 3.*no such image/s);
});

test('one that dies where it was to run on is no running guest: the resume fails and says how it ended', async () => {
  process.env['DIES'] = '1';
  const back = await bringBack(`RESTART version=1 guest=a pid=40000 checkpoint=${ID} nics=0`);
  await expect(back.resume()).rejects.toMatchObject({
    code: 'GUEST_DIED',
    message: expect.stringMatching(/^guest a: it died where it was to run on: .*SIGKILL/) as string,
  });
});

test.each([
  ['', 'has said nothing for 0.3 s'],
  ['ATTACHED nic=1', 'sent ATTACHED of NIC 1 where that of NIC 0 comes'],
  ['RESUME image=', 'sent RESUME where ATTACHED comes'],
  ['hung up', 'hung up'],
])('where ATTACHED comes it says "%s": not brought back, and told so', async (says, words) => {
  process.env['ATTACHED'] = says;
  const fd = openSync('/dev/null', 'r+');
  try {
    const error: unknown = await bringBack(`RESTART version=1 guest=a pid=40000 checkpoint=${ID} nics=1`, [
      fd,
    ]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'GUEST_FAILED' });
    expect((error as StillwireError).message).toMatch(/^guest a could not be brought back/);
    expect((error as StillwireError).message).toContain(words);
  } finally {
    closeSync(fd);
  }
});

test('a second RESTART of one guest is refused, and the first goes on', async () => {
  const line = `RESTART version=1 guest=a pid=40000 checkpoint=${ID} nics=0`;
  const back = await bringBack(line);
  const second = await Plugin.dial(join(directory, 'sock'));
  expect(await second.ask(line)).toMatch(/^REFUSE reason=guest%20a%20runs%20already/);
  expect(await second.hear()).toBe('hung up');
  await back.resume();
  expect(heard()).toBe('GO\n');
});
