/**
 * What every kind of guest must do. A kind brings a {@link GuestKind}; `guestCompliance` holds it to the contract of
 * src/guest/guest.ts with real guests, which it ends whatever becomes of a test.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import type { Guest } from '../../src/guest/guest.js';

export interface GuestKind {
  /** Starts a guest that runs. `directory` is empty, exclusive to the test, and removed after it. */
  start(name: string, directory: string): Promise<Guest>;
  /** Starts a guest from a saved state; it is paused. */
  restart(name: string, directory: string, stateFile: string): Promise<Guest>;
  /** A number inside the guest that grows at least 10 times a second while it runs, and at no other time. */
  clock(guest: Guest): Promise<number>;
  /** Makes the guest reset as if by itself. */
  reset(guest: Guest): Promise<unknown>;
}

/** Long enough for the guest's clock to tick several times. */
const A_WHILE_MS = 350;
const never = new AbortController().signal;

/** The StillwireError a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<StillwireError> {
  const outcome: unknown = await promise.catch((error: unknown) => error);
  if (outcome instanceof StillwireError) return outcome;
  throw new Error(`not a StillwireError: ${String(outcome)}`);
}

export function guestCompliance(what: string, kind: GuestKind): void {
  describe(`${what} as a guest`, () => {
    let directory: string;
    let guests: Guest[];

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'guest-'));
      guests = [];
    });
    afterEach(async () => {
      await Promise.all(guests.map((guest) => guest.kill()));
      await rm(directory, { recursive: true, force: true });
    });

    const keep = (guest: Guest): Guest => {
      guests.push(guest);
      return guest;
    };
    const start = async (name = 'anna'): Promise<Guest> => keep(await kind.start(name, directory));
    const restart = async (file: string): Promise<Guest> => keep(await kind.restart('anna', directory, file));
    const ticking = async (guest: Guest): Promise<boolean> => {
      const before = await kind.clock(guest);
      await delay(A_WHILE_MS);
      return (await kind.clock(guest)) > before;
    };

    test('runs when started, has a process, and knows its name', async () => {
      const guest = await start();
      expect(guest.name).toBe('anna');
      expect(await guest.runState()).toBe('running');
      expect(() => process.kill(guest.pid!, 0)).not.toThrow();
      expect(await ticking(guest)).toBe(true);
    });

    test('is stopped by stop and runs again by resume; both may be repeated', async () => {
      const guest = await start();
      for (let round = 0; round < 3; round++) {
        await guest.stop();
        await guest.stop();
        expect(await guest.runState()).toBe('paused');
        expect(await ticking(guest)).toBe(false);
        await guest.resume();
        await guest.resume();
        expect(await guest.runState()).toBe('running');
        expect(await ticking(guest)).toBe(true);
      }
    });

    test('is saved, stays stopped, and goes on from where it stood', async () => {
      const guest = await start();
      for (const name of ['first', 'second']) {
        await guest.stop();
        const at = await kind.clock(guest);
        const file = join(directory, name);
        const bytes = await guest.save(file, never);
        const { size, mode } = await stat(file);
        expect(bytes).toBe(size);
        expect(bytes).toBeGreaterThan(0);
        expect(mode & 0o777).toBe(0o600);
        expect(await guest.runState()).toBe('paused');
        expect(await kind.clock(guest)).toBe(at);
        await guest.resume();
        expect(await ticking(guest)).toBe(true);
      }
    });

    test('a file prepared before is cut to what was written, and may stay unused', async () => {
      const guest = await start();
      const unused = await guest.prepareSave(join(directory, 'unused'));
      unused();
      const file = join(directory, 'state');
      const letGo = await guest.prepareSave(file);
      await guest.stop();
      expect(await guest.save(file, never)).toBe((await stat(file)).size);
      letGo();
      await guest.kill();
      expect(await (await restart(file)).runState()).toBe('paused');
    });

    test('comes back paused from its state after it was killed, and runs on', async () => {
      const guest = await start();
      await ticking(guest);
      await guest.stop();
      const at = await kind.clock(guest);
      const identity = await guest.identity();
      const file = join(directory, 'state');
      await guest.prepareSave(file);
      await guest.save(file, never);
      await guest.kill();

      const back = await restart(file);
      expect(await back.runState()).toBe('paused');
      expect(await kind.clock(back)).toBe(at);
      expect(await back.identity()).toEqual(identity);
      await back.resume();
      expect(await back.runState()).toBe('running');
      expect(await ticking(back)).toBe(true);
      expect(existsSync(file)).toBe(true);
    });

    test('a restarted guest is saved and restarted again', async () => {
      const guest = await start();
      await guest.stop();
      await guest.save(join(directory, 'one'), never);
      await guest.kill();
      const second = await restart(join(directory, 'one'));
      await second.save(join(directory, 'two'), never); // never resumed in between
      await second.kill();
      const third = await restart(join(directory, 'two'));
      expect(await third.runState()).toBe('paused');
      await third.resume();
      expect(await ticking(third)).toBe(true);
    });

    test('one that stays paused is saved again and again, and its state is the same', async () => {
      const guest = await start();
      await guest.stop();
      const at = await kind.clock(guest);
      const files = ['one', 'two', 'three'].map((name) => join(directory, name));
      for (const file of files) {
        expect(await guest.save(file, never)).toBe((await stat(file)).size);
        expect((await stat(file)).mode & 0o777).toBe(0o600);
      }
      await rm(files[0]!);
      expect((await failure(guest.save(files[1]!, never))).message).toContain('EEXIST');
      await guest.kill();
      for (const file of files.slice(1)) {
        const back = await restart(file);
        expect(await kind.clock(back)).toBe(at);
        await back.resume();
        expect(await ticking(back)).toBe(true);
        await back.kill();
      }
    });

    test('a save after it ran is of what it is then, not of what it was', async () => {
      const guest = await start();
      await guest.stop();
      await guest.save(join(directory, 'old'), never);
      await guest.resume();
      expect(await ticking(guest)).toBe(true);
      await guest.stop();
      const at = await kind.clock(guest);
      await guest.save(join(directory, 'new'), never);
      await guest.kill();
      expect(await kind.clock(await restart(join(directory, 'new')))).toBe(at);
    });

    test('saves of two guests at once', async () => {
      const both = await Promise.all([start('anna'), start('berta')]);
      await Promise.all(both.map((guest) => guest.stop()));
      await Promise.all(both.map((guest) => guest.save(join(directory, `${guest.name}.state`), never)));
      await Promise.all(both.map((guest) => guest.resume()));
      for (const guest of both) expect(await guest.runState()).toBe('running');
    });

    test('never writes over a file, and is none the worse for a save that failed', async () => {
      const guest = await start();
      await guest.stop();
      const file = join(directory, 'precious');
      await writeFile(file, 'precious');
      expect((await failure(guest.save(file, never))).message).toContain('EEXIST');
      expect((await stat(file)).size).toBe(8);
      const error = await failure(guest.save(join(directory, 'no', 'such'), never));
      expect(error.message).toMatch(/anna.*ENOENT/);
      await guest.save(join(directory, 'good'), never);
      await guest.resume();
      expect(await ticking(guest)).toBe(true);
    });

    test('a save can be aborted, before and during; no file is left, and the guest can run and be saved again', async () => {
      const guest = await start();
      await guest.stop();
      const file = join(directory, 'state');
      const reason = new StillwireError('HOLD_EXPIRED', 'the hold ended');
      expect(await failure(guest.save(file, AbortSignal.abort(reason)))).toBe(reason);
      for (const afterMs of [0, 1, 3]) {
        const stop = new AbortController();
        const saving = failure(guest.save(file, stop.signal));
        setTimeout(() => stop.abort(), afterMs);
        expect((await saving).code).toBe('INTERRUPTED');
        expect(existsSync(file)).toBe(false);
        await guest.resume();
        await guest.stop();
      }
      expect(await guest.save(file, never)).toBeGreaterThan(0);
      await guest.resume();
      expect(await ticking(guest)).toBe(true);
    });

    test('refuses to be saved while it runs', async () => {
      const guest = await start();
      const file = join(directory, 'state');
      expect((await failure(guest.save(file, never))).code).toBe('GUEST_FAILED');
      expect(existsSync(file)).toBe(false);
      expect(await ticking(guest)).toBe(true);
    });

    test('a state that is cut off or is none is refused with the guest named', async () => {
      const guest = await start();
      await guest.stop();
      const file = join(directory, 'state');
      const bytes = await guest.save(file, never);
      await guest.kill();
      const { truncate } = await import('node:fs/promises');
      await truncate(file, Math.floor(bytes / 2));
      await writeFile(join(directory, 'nonsense'), 'not a state'.repeat(1000));
      for (const bad of [file, join(directory, 'nonsense'), join(directory, 'missing')]) {
        const error = await failure(restart(bad));
        expect(['GUEST_FAILED', 'SYSCALL']).toContain(error.code);
        expect(error.message).toMatch(/anna|missing/);
      }
    });

    test('is gone when killed, and says so', async () => {
      const guest = await start();
      const { pid } = guest;
      await guest.kill();
      await guest.kill();
      expect(guest.pid).toBeUndefined();
      expect(() => process.kill(pid!, 0)).toThrow('ESRCH');
      expect(await guest.runState()).toBe('ended');
      expect(await guest.ended).not.toBe('');
      const error = await failure(guest.stop());
      expect(error.code).toBe('GUEST_DIED');
      expect(error.message).toContain('anna');
    });

    test('a guest that dies in the middle of a save fails it', async () => {
      const guest = await start();
      await guest.stop();
      const file = join(directory, 'state');
      const saving = failure(guest.save(file, never));
      process.kill(guest.pid!, 'SIGKILL');
      const error = await saving;
      expect(error.code).toBe('GUEST_DIED');
      expect(error.message).toContain('anna');
      expect(existsSync(file)).toBe(false);
    });

    test('its watchers are told once when it dies, and not when they have stopped watching', async () => {
      const guest = await start();
      const told: string[] = [];
      let deaf = 0;
      guest.watch((reason) => told.push(reason));
      guest.watch(() => deaf++)();
      process.kill(guest.pid!, 'SIGKILL');
      await guest.ended;
      await delay(50);
      expect(told).toHaveLength(1);
      expect(told[0]).toContain('anna');
      expect(deaf).toBe(0);
    });

    test('its watchers are told when it resets, and not of stop, save and resume', async () => {
      const guest = await start();
      const told: string[] = [];
      guest.watch((reason) => told.push(reason));
      await guest.stop();
      await guest.save(join(directory, 'state'), never);
      await guest.resume();
      expect(told).toEqual([]);
      await kind.reset(guest);
      await delay(100);
      expect(told).toHaveLength(1);
      expect(told[0]).toContain('anna');
    });
  });
}
