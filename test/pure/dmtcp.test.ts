/** Guests under DMTCP, without it: a plugin spoken by hand takes the daemon's side through every order of events. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { Lab, type Plugin } from './dmtcp-plugin.fixture.js';

let lab: Lab;
afterEach(() => lab.close());

const never = new AbortController().signal;
const ID = '0b1d2c3e-1111-2222-3333-444455556666';

async function failure(promise: Promise<unknown>): Promise<StillwireError> {
  const outcome: unknown = await promise.then(
    () => new Error('nothing failed'),
    (error: unknown) => error,
  );
  if (outcome instanceof StillwireError) return outcome;
  throw outcome;
}

/** A guest whose plugin stands at PRECHECKPOINT. */
async function stopped(name = 'a'): Promise<Plugin> {
  const stopping = lab.guest(name).stop();
  const plugin = await lab.begins(name);
  expect(await plugin.hear()).toBe('GO');
  plugin.say('PRECHECKPOINT');
  expect(await stopping).toBe(true);
  return plugin;
}

test('a checkpoint of two: asked for once, all of a step before the next, the id in every image', async () => {
  lab = await Lab.open(['a', 'b']);
  const guests = ['a', 'b'].map((name) => lab.guest(name));
  const letGo = await Promise.all(
    guests.map((guest) =>
      mkdir(join(lab.directory, guest.name)).then(() =>
        guest.prepareSave(join(lab.directory, guest.name, 'state')),
      ),
    ),
  );
  const stopping = Promise.all(guests.map((guest) => guest.stop()));
  const first = await lab.begins('a');
  expect(await first.hear(50)).toBe('silence'); // not before all are there
  const second = await lab.begins('b');
  const plugins = [first, second];
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
  expect(await guests[0]!.runState()).toBe('running');
  for (const plugin of plugins) plugin.say('PRECHECKPOINT');
  expect(await stopping).toEqual([true, true]);
  expect(lab.asked).toBe(1);
  expect(await guests[0]!.runState()).toBe('paused');

  const saving = Promise.all(
    guests.map((guest) => guest.save(join(lab.directory, guest.name, 'state'), never, ID)),
  );
  for (const plugin of plugins) expect(await plugin.hear()).toBe(`GO checkpoint=${ID}`);
  for (const [i, plugin] of plugins.entries()) {
    await lab.writeImage(guests[i]!.name, `image ${i}`);
    plugin.say('RESUME image=/somewhere/else');
  }
  expect(await saving).toEqual([7, 7]);
  expect(await readFile(join(lab.directory, 'b', 'state'), 'utf8')).toBe('image 1');
  expect((await stat(join(lab.directory, 'b', 'state'))).mode & 0o777).toBe(0o600);
  expect(existsSync(join(lab.directory, 'b', 'dmtcp'))).toBe(false);

  const resuming = Promise.all(guests.map((guest) => guest.resume()));
  for (const plugin of plugins) {
    expect(await plugin.hear()).toBe('GO');
    plugin.hangUp();
  }
  await resuming;
  for (const done of letGo) done();
  expect(await guests[1]!.runState()).toBe('running');
});

test('one after the other: each is asked for, and stopping what stands changes nothing', async () => {
  lab = await Lab.open(['a']);
  for (let round = 1; round <= 3; round++) {
    const plugin = await stopped();
    expect(await lab.guest('a').stop()).toBe(false);
    const resuming = lab.guest('a').resume();
    expect(await plugin.hear()).toMatch(/^SKIP reason=/);
    plugin.hangUp();
    await resuming;
    await lab.guest('a').resume();
    expect(lab.asked).toBe(round);
  }
});

test('one that DMTCP does not reach: it is named, and who came goes on without us', async () => {
  lab = await Lab.open(['a', 'b', 'c']);
  const stopping = Promise.all(['a', 'b', 'c'].map((name) => failure(lab.guest(name).stop())));
  const plugin = await lab.begins('b');
  for (const error of await stopping) {
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toContain('a, c');
  }
  expect(await plugin.hear()).toMatch(/^SKIP reason=.*a,%20c/);
  await Promise.all(['a', 'b', 'c'].map((name) => lab.guest(name).resume()));
  expect(await lab.guest('b').runState()).toBe('running');
});

test('one that comes too late is let through, and begins no checkpoint of its own', async () => {
  lab = await Lab.open(['a', 'b']);
  let begun = 0;
  lab.group.onForeign = () => {
    begun++;
    return Promise.resolve();
  };
  const stopping = Promise.all(['a', 'b'].map((name) => failure(lab.guest(name).stop())));
  const early = await lab.begins('a');
  await stopping;
  expect(await early.hear()).toMatch(/^SKIP/);
  early.hangUp();
  const late = await lab.begins('b');
  expect(await late.hear()).toMatch(/^SKIP reason=/);
  expect(begun).toBe(0);
});

test('a NIC more than are defined: no checkpoint, since its image could not be restarted', async () => {
  lab = await Lab.open(['a', 'b'], 5000);
  const stopping = Promise.all(['a', 'b'].map((name) => failure(lab.guest(name).stop())));
  const plugins = [await lab.begins('a'), await lab.begins('b', 2)];
  for (const error of await stopping) {
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toMatch(/^guest b: its process has 2 NICs, and 1 are defined: .*start it anew/);
  }
  for (const plugin of plugins) expect(await plugin.hear()).toMatch(/^SKIP reason=guest%20b/);
});

test('nor does one that DMTCP begins by itself become a checkpoint then', async () => {
  lab = await Lab.open(['a'], 5000);
  const met: string[] = [];
  lab.group.onForeign = async () => {
    const error = await failure(lab.guest('a').stop());
    met.push(error.message);
    throw error;
  };
  const plugin = await lab.begins('a', 0);
  expect(await plugin.hear()).toMatch(/^SKIP reason=guest%20a.*0%20NICs/);
  expect(met).toHaveLength(1);
});

test('who is not suspended in time is named, all of them, and who was is let through', async () => {
  lab = await Lab.open(['a', 'b', 'c']);
  const waved: unknown[] = [];
  lab.group.onWaved = (...what) => waved.push(what);
  const first = lab.guest('a').stop();
  const stopping = Promise.all(['b', 'c'].map((name) => failure(lab.guest(name).stop())));
  const plugins = await Promise.all(['a', 'b', 'c'].map((name) => lab.begins(name)));
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
  plugins[0]!.say('PRECHECKPOINT');
  await first;
  const words = 'DMTCP has not suspended b, c within 0.3 s';
  for (const error of await stopping) {
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toContain(words);
  }
  for (const plugin of plugins.slice(1)) plugin.say('PRECHECKPOINT'); // too late
  for (const plugin of plugins) expect(await plugin.hear()).toMatch(/^SKIP reason=.*b,%20c/);
  expect(waved).toEqual([[['a', 'b', 'c'], expect.stringContaining(words)]]);
});

/** A checkpoint that `a` has reported and `b` has not. */
async function missedByB(): Promise<void> {
  const stopping = Promise.all(['a', 'b'].map((name) => failure(lab.guest(name).stop())));
  const plugin = await lab.begins('a');
  await stopping;
  expect(await plugin.hear()).toMatch(/^SKIP/);
  plugin.hangUp();
  await delay(20);
}

/** Both report, and are taken for those that `stopping` waits for. */
async function allGoThrough(stopping: Promise<boolean[]>): Promise<void> {
  const plugins = [await lab.begins('b'), await lab.begins('a')];
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
  for (const plugin of plugins) plugin.say('PRECHECKPOINT');
  expect(await stopping).toEqual([true, true]);
}

test('one that comes too late is not taken for the next checkpoint, which waits until it is through', async () => {
  lab = await Lab.open(['a', 'b'], 3000);
  const waved: unknown[] = [];
  const aborted = new AbortController();
  const given = Promise.allSettled(['a', 'b'].map((name) => lab.guest(name).stop(aborted.signal)));
  const early = await lab.begins('a');
  expect(await early.hear(50)).toBe('silence');
  aborted.abort(new Error('enough'));
  await given;
  expect(await early.hear()).toMatch(/^SKIP/);
  early.hangUp();
  lab.group.onWaved = (...what) => waved.push(what);
  lab.refuses = new Error('not in running state'); // it waits for b
  const stopping = Promise.all(['a', 'b'].map((name) => lab.guest(name).stop()));
  await delay(50);
  const late = await lab.begins('b');
  expect(await late.hear()).toMatch(/^SKIP reason=.*too%20late/);
  expect(waved).toEqual([[['b'], expect.stringContaining('too late')]]);
  lab.refuses = undefined;
  await vi.waitFor(() => expect(lab.granted).toBe(2));
  await allGoThrough(stopping);
});

test('one that missed a checkpoint is not late for the next, once DMTCP has begun that', async () => {
  lab = await Lab.open(['a', 'b']);
  await missedByB();
  const stopping = Promise.all(['a', 'b'].map((name) => lab.guest(name).stop()));
  await allGoThrough(stopping);
});

test('nor for one that somebody else begins, which another guest reports too', async () => {
  lab = await Lab.open(['a', 'b']);
  await missedByB();
  lab.group.onForeign = async () => {
    await Promise.all(['a', 'b'].map((name) => lab.guest(name).stop()));
  };
  const plugins = [await lab.begins('b'), await lab.begins('a')];
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
});

test('nobody is late for a checkpoint that the coordinator never began', async () => {
  lab = await Lab.open(['a']);
  lab.refuses = new Error('not in running state');
  await failure(lab.guest('a').stop());
  let begun = 0;
  lab.group.onForeign = () => {
    begun++;
    return Promise.resolve();
  };
  const plugin = await lab.begins('a');
  expect(await plugin.hear()).toMatch(/^SKIP/);
  expect(begun).toBe(1);
});

test('one that dies is not waited for, and the others are let through', async () => {
  lab = await Lab.open(['a', 'b'], 5000);
  const stopping = failure(lab.guest('a').stop());
  const dying = failure(lab.guest('b').stop());
  const plugin = await lab.begins('a');
  await lab.guest('b').kill();
  expect((await dying).code).toBe('GUEST_DIED');
  expect((await stopping).message).toContain('guest b has ended');
  expect(await plugin.hear()).toMatch(/^GO|^SKIP/);
  expect(await plugin.ask('PRECHECKPOINT')).toMatch(/^SKIP|^hung up/);
  expect(await lab.guest('b').runState()).toBe('ended');
  expect(await lab.guest('a').runState()).toBe('running');
});

test('a coordinator that does no checkpoint now is asked again', async () => {
  lab = await Lab.open(['a'], 5000);
  lab.refuses = new Error('not in running state');
  const stopping = lab.guest('a').stop();
  await delay(250);
  expect(lab.asked).toBeGreaterThan(1);
  lab.refuses = undefined;
  const plugin = await lab.begins('a');
  expect(await plugin.hear()).toBe('GO');
  plugin.say('PRECHECKPOINT');
  expect(await stopping).toBe(true);
});

test.each([
  ['PRECHECKPOINT first', 'PRECHECKPOINT'],
  ['RESUME first', 'RESUME image=/x'],
  ['ATTACHED first', 'ATTACHED nic=0'],
  ['an unknown guest', 'PRESUSPEND version=1 guest=nobody pid=7 nics=1'],
  ['another version', 'PRESUSPEND version=2 guest=a pid=7 nics=1'],
  ['a restart of a guest that runs', 'RESTART version=1 guest=a pid=7 checkpoint=none nics=1'],
])('%s: refused with the reason, and the guest can be stopped all the same', async (_what, line) => {
  lab = await Lab.open(['a']);
  const stranger = await lab.dial();
  expect(await stranger.ask(line)).toMatch(/^REFUSE reason=.+/);
  expect(await stranger.hear()).toBe('hung up');
  await stopped();
});

test.each([
  ['a word that is none', 'GARBAGE\n'],
  ['bytes', Buffer.from([0, 255, 254, 10])],
  ['a line without an end', 'x'.repeat(5000)],
  ['two at once', 'PRESUSPEND version=1 guest=a pid=7 nics=1\nPRECHECKPOINT\n'],
])('%s: hung up on, and the guest can be stopped all the same', async (_what, bytes) => {
  lab = await Lab.open(['a']);
  const stranger = await lab.dial();
  stranger.raw(bytes);
  expect(await stranger.hear()).toMatch(/^hung up|^SKIP/);
  stranger.hangUp();
  await delay(50);
  await stopped();
});

test('a second PRESUSPEND while the first is waited for: refused, and the first goes on', async () => {
  lab = await Lab.open(['a', 'b']);
  const stopping = lab.guest('a').stop();
  const first = await lab.begins('a');
  const second = await lab.begins('a');
  expect(await second.hear()).toMatch(/^REFUSE reason=.*under%20way/);
  const other = await lab.begins('b');
  expect(await first.hear()).toBe('GO');
  first.say('PRECHECKPOINT');
  await stopping;
  other.hangUp();
});

test.each([
  ['PRECHECKPOINT twice', 'PRECHECKPOINT'],
  ['PRESUSPEND again', 'PRESUSPEND version=1 guest=a pid=7 nics=1'],
  ['nonsense', 'NONSENSE'],
  ['an answer of a restart', 'ATTACHED nic=0'],
])('%s where RESUME comes: hung up on, the save fails, the guest is not lost', async (_what, line) => {
  lab = await Lab.open(['a']);
  const plugin = await stopped();
  const saving = failure(lab.guest('a').save(join(lab.directory, 'state'), never, ID));
  expect(await plugin.hear()).toBe(`GO checkpoint=${ID}`);
  expect(await plugin.ask(line)).toBe('hung up');
  const error = await saving;
  expect(error.code).toBe('GUEST_FAILED');
  expect(error.message).toContain('guest a');
  expect(existsSync(join(lab.directory, 'state'))).toBe(false);
  await lab.guest('a').resume();
  expect(await lab.guest('a').runState()).toBe('running');
});

test('a hang-up before PRECHECKPOINT fails the stop; the next one comes to pass', async () => {
  lab = await Lab.open(['a']);
  const stopping = failure(lab.guest('a').stop());
  const plugin = await lab.begins('a');
  expect(await plugin.hear()).toBe('GO');
  plugin.hangUp();
  expect((await stopping).message).toMatch(/guest a.*hung up/);
  await lab.guest('a').resume();
  await stopped();
});

test('a hang-up while all wait for the last fails it as well', async () => {
  lab = await Lab.open(['a', 'b']);
  const stopping = Promise.all(['a', 'b'].map((name) => failure(lab.guest(name).stop())));
  const first = await lab.begins('a');
  await delay(20);
  first.hangUp();
  await delay(20);
  const second = await lab.begins('b');
  const [a] = await stopping;
  expect(a!.message).toContain('guest a');
  expect(await second.hear()).toMatch(/^GO|^SKIP/);
});

test('a hang-up while the image is written fails the save', async () => {
  lab = await Lab.open(['a']);
  const plugin = await stopped();
  const saving = failure(lab.guest('a').save(join(lab.directory, 'state'), never, ID));
  await plugin.hear();
  plugin.hangUp();
  expect((await saving).message).toMatch(/guest a.*hung up/);
  await lab.guest('a').resume();
});

test.each(['first its process, then its line', 'first its line, then its process'])(
  'ended behind its image (%s), as dmtcp_command --kcheckpoint has it: saved, not lost',
  async (order) => {
    lab = await Lab.open(['a']);
    const guest = lab.guest('a');
    let lost = 0;
    guest.watch(() => lost++);
    await mkdir(join(lab.directory, 'there'));
    const file = join(lab.directory, 'there', 'state');
    const done = await guest.prepareSave(file);
    const plugin = await stopped();
    const saving = guest.save(file, never, ID);
    await plugin.hear();
    await lab.writeImage('a', 'image');
    const ends = [
      () => guest.kill(),
      () => {
        plugin.hangUp();
        return Promise.resolve();
      },
    ];
    for (const end of order.startsWith('first its process') ? ends : ends.reverse()) {
      await end();
      await delay(30);
    }
    expect(await saving).toBe(5);
    expect(await readFile(file, 'utf8')).toBe('image');
    expect(await guest.runState()).toBe('ended');
    expect(lost).toBe(0);
    done();
  },
);

test('ended before its image is whole: lost', async () => {
  lab = await Lab.open(['a']);
  const guest = lab.guest('a');
  const lost: string[] = [];
  guest.watch((reason) => lost.push(reason));
  const plugin = await stopped();
  const saving = failure(guest.save(join(lab.directory, 'state'), never, ID));
  await plugin.hear();
  await guest.kill();
  plugin.hangUp();
  expect((await saving).code).toBe('GUEST_FAILED');
  await vi.waitFor(() => expect(lost).toHaveLength(1)); // whoever watches looks at the image for himself
});

test('a save is aborted: the guest goes through and runs', async () => {
  lab = await Lab.open(['a']);
  const plugin = await stopped();
  const abort = new AbortController();
  const saving = failure(lab.guest('a').save(join(lab.directory, 'state'), abort.signal, ID));
  await plugin.hear();
  abort.abort(new StillwireError('HOLD_EXPIRED', 'the hold ended'));
  expect((await saving).code).toBe('HOLD_EXPIRED');
  const resuming = lab.guest('a').resume();
  expect(await plugin.ask('RESUME image=')).toBe('GO');
  plugin.hangUp();
  await resuming;
});

test('no image grows and none is done: given up, with those named that are not', async () => {
  lab = await Lab.open(['a', 'b'], 5000, false, 300);
  const names = ['a', 'b'];
  const stopping = Promise.all(names.map((name) => lab.guest(name).stop()));
  const plugins = await Promise.all(names.map((name) => lab.begins(name)));
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
  for (const plugin of plugins) plugin.say('PRECHECKPOINT');
  await stopping;
  const saving = names.map((name) => lab.guest(name).save(join(lab.directory, name), never, ID));
  const stuck = failure(saving[1]!);
  for (const plugin of plugins) await plugin.hear();
  for (let bytes = 1; bytes <= 5; bytes++) {
    await delay(120); // in all twice as long as the bound
    await writeFile(join(lab.images.get('b')!.directory, 'ckpt_qemu.dmtcp.temp'), 'x'.repeat(bytes));
  }
  await lab.writeImage('a', 'image');
  plugins[0]!.say('RESUME image='); // while b grew, a was given its time
  expect(await saving[0]).toBe(5);
  const error = await stuck;
  expect(error.code).toBe('GUEST_FAILED');
  expect(error.message).toMatch(/images of b for 0.3 s/);
  const resuming = Promise.all(names.map((name) => lab.guest(name).resume()));
  expect(await plugins[0]!.hear()).toBe('GO');
  expect(await plugins[1]!.ask('RESUME image=')).toBe('GO'); // it comes to its end after all
  for (const plugin of plugins) plugin.hangUp();
  await resuming;
});

test('an earlier one that goes on without us is waited for before ours begins to hold', async () => {
  lab = await Lab.open(['a']);
  const plugin = await stopped();
  const abort = new AbortController();
  const saving = failure(lab.guest('a').save(join(lab.directory, 'state'), abort.signal, ID));
  await plugin.hear();
  abort.abort(new StillwireError('HOLD_EXPIRED', 'the hold ended'));
  await saving;
  const resuming = lab.guest('a').resume();
  let isReady = false;
  const file = join(lab.directory, 'next');
  const ready = lab.guest('a').prepareSave(file);
  void ready.then(() => (isReady = true));
  const aborted = lab.guest('a').prepareSave(file, abort.signal);
  await expect(aborted).rejects.toThrow('the hold ended');
  await delay(50);
  expect(isReady).toBe(false);
  expect(await plugin.ask('RESUME image=')).toBe('GO');
  plugin.hangUp();
  await resuming;
  (await ready)();
});

test('a file is never written over', async () => {
  lab = await Lab.open(['a']);
  const plugin = await stopped();
  const saving = failure(lab.guest('a').save(join(lab.directory, 'sock'), never, ID));
  await plugin.hear();
  await lab.writeImage('a', 'image');
  plugin.say('RESUME image=');
  expect((await saving).message).toContain('EEXIST');
});

test('forked: the guest runs on before its image is whole, and the image is waited for', async () => {
  lab = await Lab.open(['a'], 300, true);
  const guest = lab.guest('a');
  const plugin = await stopped();
  const file = join(lab.directory, 'state');
  const saving = guest.save(file, never, ID);
  await plugin.hear();
  plugin.say('RESUME image=');
  await saving;
  const resuming = guest.resume();
  expect(await plugin.hear()).toBe('GO');
  plugin.hangUp();
  await resuming;
  const finishing = guest.finishSave(never);
  await delay(60);
  expect(existsSync(file)).toBe(false);
  await lab.writeImage('a', 'image');
  await finishing;
  expect(await readFile(file, 'utf8')).toBe('image');
});

test('a checkpoint that DMTCP begins by itself: whoever listens takes one, and it finds the guests waiting', async () => {
  lab = await Lab.open(['a', 'b']);
  let begun = 0;
  lab.group.onForeign = async () => {
    begun++;
    await Promise.all(['a', 'b'].map((name) => lab.guest(name).stop()));
    await Promise.all(['a', 'b'].map((name) => lab.guest(name).resume()));
  };
  const plugins = await Promise.all(['a', 'b'].map((name) => lab.begins(name)));
  for (const plugin of plugins) expect(await plugin.hear()).toBe('GO');
  for (const plugin of plugins) plugin.say('PRECHECKPOINT');
  for (const plugin of plugins) {
    expect(await plugin.hear()).toMatch(/^SKIP/); // our resume without a save
    plugin.hangUp();
  }
  expect(begun).toBe(1);
  expect(lab.asked).toBe(0);
});

test('where nobody takes one, or it fails, they go on without us and are told why', async () => {
  lab = await Lab.open(['a']);
  const alone = await lab.begins('a');
  expect(await alone.hear()).toMatch(/^SKIP reason=nobody/);
  alone.hangUp();
  await delay(20);
  lab.group.onForeign = () => Promise.reject(new StillwireError('NETWORK_HELD', 'lab is held'));
  const held = await lab.begins('a');
  expect(await held.hear()).toBe('SKIP reason=lab%20is%20held');
});

test('one that begins while ours is being prepared is ours', async () => {
  lab = await Lab.open(['a']);
  const done = await lab.guest('a').prepareSave(join(lab.directory, 'state'));
  const plugin = await lab.begins('a');
  expect(await plugin.hear(50)).toBe('silence');
  const stopping = lab.guest('a').stop();
  expect(await plugin.hear()).toBe('GO');
  plugin.say('PRECHECKPOINT');
  await stopping;
  expect(lab.asked).toBe(0);
  done();
});

test('and where ours is over before it stops anybody, it is let through', async () => {
  lab = await Lab.open(['a']);
  const done = await lab.guest('a').prepareSave(join(lab.directory, 'state'));
  const plugin = await lab.begins('a');
  expect(await plugin.hear(50)).toBe('silence');
  done();
  expect(await plugin.hear()).toMatch(/^SKIP/);
});

test('closing the network lets everybody through and removes the socket', async () => {
  lab = await Lab.open(['a', 'b'], 5000);
  const stopping = failure(lab.guest('a').stop());
  const plugin = await lab.begins('a');
  await delay(20);
  await lab.group.close();
  expect(await plugin.hear()).toMatch(/^SKIP|^hung up/);
  expect((await stopping).code).toBe('GUEST_FAILED');
  expect(existsSync(lab.socket)).toBe(false);
});

test('an abort is not kept waiting by a guest that has not come', async () => {
  lab = await Lab.open(['a', 'b'], 60_000);
  const aborted = new AbortController();
  const stopping = Promise.allSettled(['a', 'b'].map((name) => lab.guest(name).stop(aborted.signal)));
  const plugin = await lab.begins('a');
  expect(await plugin.hear(50)).toBe('silence');
  aborted.abort(new Error('enough'));
  for (const outcome of await stopping) expect(outcome).toMatchObject({ reason: { message: 'enough' } });
  expect(await plugin.hear()).toMatch(/^SKIP reason=.*aborted/);
  // Nor by an earlier checkpoint that has not come to its end.
  const again = lab.guest('a').stop(aborted.signal);
  await expect(again).rejects.toThrow('enough');
});
