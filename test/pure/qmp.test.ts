import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { StillwireError } from '../../src/errors/index.js';
import { MAX_LINE_BYTES, QmpClient, type QmpEvent } from '../../src/guest/qmp.js';
import { LineSplitter } from '../../src/guest/qmp-lines.js';
import { type Command, GREETING, QmpPeer, type Script } from './qmp-peer.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function speak(script: Script): Promise<{ peer: QmpPeer; qmp: QmpClient }> {
  const peer = await QmpPeer.listen(script);
  cleanups.push(() => peer.close());
  const qmp = await peer.client();
  cleanups.push(() => qmp.close());
  return { peer, qmp };
}

async function listen(script: Script, greeting: unknown = GREETING): Promise<QmpPeer> {
  const peer = await QmpPeer.listen(script, greeting);
  cleanups.push(() => peer.close());
  return peer;
}

/** The error a promise is rejected with; fails when it is not. */
async function failure(promise: Promise<unknown>): Promise<StillwireError> {
  return promise.then(
    (value) => {
      throw new Error(`resolved with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error as StillwireError,
  );
}

const echo: Script = ({ id, arguments: args }) => ({ return: args, id });
const silence: Script = () => undefined;

describe('commands', () => {
  test('capabilities are negotiated first, and a command returns what QEMU returned', async () => {
    const { peer, qmp } = await speak(echo);
    expect(await qmp.execute('query-x', { a: 1 })).toEqual({ a: 1 });
    expect(peer.received.map((each) => each.execute)).toEqual(['qmp_capabilities', 'query-x']);
  });

  test('concurrent commands get their own answers, whatever the order of these', async () => {
    const waiting: Command[] = [];
    const { qmp } = await speak((command, peer) => {
      waiting.push(command);
      if (waiting.length < 3) return undefined;
      for (const { id, arguments: args } of waiting.reverse()) peer.write({ return: args['n'], id });
      return undefined;
    });
    const answers = [1, 2, 3].map((n) => qmp.execute('x', { n }));
    expect(await Promise.all(answers)).toEqual([1, 2, 3]);
  });

  test('a refusal carries class and words, and the connection goes on', async () => {
    const { qmp } = await speak(({ execute, id, arguments: args }) =>
      execute === 'bad'
        ? { error: { class: 'CommandNotFound', desc: 'no such thing' }, id }
        : { return: args, id },
    );
    const error = await failure(qmp.execute('bad'));
    expect(error.code).toBe('QMP_ERROR');
    expect(error.message).toContain('anna');
    expect(error.message).toContain('no such thing');
    expect(error.details).toMatchObject({ guest: 'anna', command: 'bad', class: 'CommandNotFound' });
    expect(await qmp.execute('good', { a: 1 })).toEqual({ a: 1 });
  });

  test('a command without answer times out; its late answer disturbs nobody', async () => {
    const { peer, qmp } = await speak((command) =>
      command.execute === 'slow' ? undefined : echo(command, peer),
    );
    const error = await failure(qmp.execute('slow', {}, { timeoutMs: 30 }));
    expect(error.code).toBe('QMP_TIMEOUT');
    expect(error.message).toMatch(/anna.*slow.*30 ms/);
    peer.write({ return: 'late', id: peer.received.at(-1)!.id });
    expect(await qmp.execute('next', { b: 2 })).toEqual({ b: 2 });
  });
});

describe('the stream', () => {
  test('answers torn into single bytes, in the middle of a character too', async () => {
    const { qmp } = await speak(({ id }, peer) => {
      void (async () => {
        for (const byte of Buffer.from(`${JSON.stringify({ return: 'Grüße ✓', id })}\r\n`)) {
          peer.write(Buffer.from([byte]));
          await new Promise(setImmediate);
        }
      })();
      return undefined;
    });
    expect(await qmp.execute('x')).toBe('Grüße ✓');
  });

  test('several documents in one piece come in order, events before the answer behind them', async () => {
    const { qmp } = await speak(({ id }) =>
      [
        { event: 'STOP', data: {} },
        { event: 'RESET', data: { guest: true } },
        { return: 'done', id },
      ]
        .map((each) => JSON.stringify(each))
        .join('\r\n')
        .concat('\r\n'),
    );
    const seen: unknown[] = [];
    const off = qmp.onEvent((event: QmpEvent) => seen.push(event));
    await qmp.execute('x').then((value) => seen.push(value));
    expect(seen).toEqual([{ event: 'STOP', data: {} }, { event: 'RESET', data: { guest: true } }, 'done']);
    off();
    await qmp.execute('x');
    expect(seen).toHaveLength(3);
  });

  test.each([
    ['no JSON', '{"return": \r\n'],
    ['no object', '[1]\r\n'],
    ['an error without id', '{"error": {"class": "GenericError", "desc": "JSON parse error"}}\r\n'],
    ['an overlong line', `"${'x'.repeat(MAX_LINE_BYTES + 1)}`],
  ])('%s ends the connection, and all pending commands with it', async (_what, bytes) => {
    const { qmp } = await speak(({ execute }) => (execute === 'two' ? bytes : undefined));
    const [one, two] = await Promise.all([failure(qmp.execute('one')), failure(qmp.execute('two'))]);
    expect(one).toBe(two);
    expect(one.code).toBe('GUEST_FAILED');
    expect(one.message).toMatch(/anna.*unreadable/);
    expect(await qmp.closed).toBe(one);
    expect(await failure(qmp.execute('three'))).toBe(one);
  });
});

describe('the end', () => {
  test('a disconnect rejects everything pending and everything after, and names the guest', async () => {
    const { qmp } = await speak(({ execute }, peer) => (execute === 'two' ? peer.hangUp() : undefined));
    const [one, two] = await Promise.all([failure(qmp.execute('one')), failure(qmp.execute('two'))]);
    expect([one.code, two.code]).toEqual(['GUEST_DIED', 'GUEST_DIED']);
    expect(one.message).toContain('guest anna');
    expect((await failure(qmp.execute('three'))).code).toBe('GUEST_DIED');
    expect((await qmp.closed).code).toBe('GUEST_DIED');
  });

  test('a disconnect inside an answer is told as such', async () => {
    const { qmp } = await speak((_, peer) => {
      peer.write('{"return": {"half');
      setTimeout(() => peer.hangUp(), 20);
      return undefined;
    });
    expect((await failure(qmp.execute('x'))).message).toContain('in the middle of an answer');
  });

  test('close rejects what is pending, once', async () => {
    const { qmp } = await speak(silence);
    const pending = failure(qmp.execute('x'));
    qmp.close();
    qmp.close();
    expect((await pending).code).toBe('GUEST_DIED');
  });
});

/** Bytes in use after everything that can go has gone. */
function memoryKept(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe('a peer that means no good', () => {
  test('may send its line byte by byte, and costs no more than its bytes', () => {
    const splitter = new LineSplitter(MAX_LINE_BYTES);
    const before = memoryKept();
    for (let i = 0; i < 500_000; i++) splitter.push(Buffer.from('['));
    expect(memoryKept() - before).toBeLessThan(8 * MAX_LINE_BYTES);
    expect(splitter.pending).toBe(500_000);
    expect(splitter.push(Buffer.from('x\n'))).toEqual([`${'['.repeat(500_000)}x`]);
    expect(splitter.pending).toBe(0);
  });

  test('and does not read: commands are refused before they pile up', async () => {
    const { peer, qmp } = await speak(silence);
    peer.pause();
    const long = { text: 'y'.repeat(4_000_000) }; // more than the socket takes at once
    const first = failure(qmp.execute('x', long));
    await delay(20);
    const more = Array.from({ length: 300 }, () => failure(qmp.execute('x', {}, { timeoutMs: 60_000 })));
    const refused = await more[299]!;
    expect([refused.code, refused.message]).toEqual([
      'QMP_TIMEOUT',
      'guest anna: QEMU does not read; 256 commands wait for it',
    ]);
    qmp.close();
    expect((await first).code).toBe('GUEST_DIED');
    expect((await more[0]!).code).toBe('GUEST_DIED');
  });

  test('whose words are without end, or no words, is quoted in a few of them', async () => {
    const { qmp } = await speak(({ execute, id }) => ({
      error: execute === 'long' ? { class: 'C', desc: 'w'.repeat(100_000) } : { class: {}, desc: [[1]] },
      id,
    }));
    expect((await failure(qmp.execute('long'))).message.length).toBeLessThan(1100);
    expect((await failure(qmp.execute('odd'))).message).toContain('QEMU refused odd: [[1]]');
  });
});

describe('connecting', () => {
  test('waits for a socket that comes later', async () => {
    const peer = await listen(echo);
    const path = `${peer.path}-later`;
    const connecting = QmpClient.connect(path, { guest: 'anna', timeoutMs: 2000 });
    await delay(30);
    const { rename } = await import('node:fs/promises');
    await rename(peer.path, path);
    const qmp = await connecting;
    cleanups.push(() => qmp.close());
    expect(await qmp.execute('x', { ok: true })).toEqual({ ok: true });
  });

  test('nobody there: QMP_TIMEOUT', async () => {
    const error = await failure(QmpClient.connect('/nonexistent/qmp', { guest: 'anna', timeoutMs: 40 }));
    expect(error.code).toBe('QMP_TIMEOUT');
    expect(error.message).toContain('anna');
  });

  test('a peer that never greets: QMP_TIMEOUT', async () => {
    const peer = await listen(echo, '');
    const error = await failure(peer.client(60));
    expect(error.code).toBe('QMP_TIMEOUT');
  });

  test('a peer that hangs up at the greeting: GUEST_DIED', async () => {
    const peer = await listen(echo, '');
    const connecting = failure(peer.client());
    setTimeout(() => peer.hangUp(), 30);
    expect((await connecting).code).toBe('GUEST_DIED');
  });

  test('an abort ends the waiting with its reason', async () => {
    const stop = new AbortController();
    const connecting = failure(
      QmpClient.connect('/nonexistent/qmp', { guest: 'anna', timeoutMs: 5000, signal: stop.signal }),
    );
    const reason = new Error('process has ended');
    stop.abort(reason);
    expect(await connecting).toBe(reason);
  });
});

describe('getfd', () => {
  test('goes out behind what was written before it and before what comes after', async () => {
    const { peer, qmp } = await speak(({ id }) => ({ return: {}, id }));
    peer.pause();
    const long = { text: 'y'.repeat(2_000_000) }; // more than the socket takes at once
    const all = Promise.all([qmp.execute('before', long), qmp.getfd('file', 0), qmp.execute('after', long)]);
    await delay(20);
    peer.resume();
    await all;
    expect(peer.received.map((each) => each.execute)).toEqual([
      'qmp_capabilities',
      'before',
      'getfd',
      'after',
    ]);
    expect(peer.received[2]!.arguments).toEqual({ fdname: 'file' });
  });

  test('a descriptor that does not exist fails this command only', async () => {
    const { qmp } = await speak(echo);
    const error = await failure(qmp.getfd('file', 987_654));
    expect(error.code).toBe('SYSCALL');
    expect(error.message).toContain('EBADF');
    expect(await qmp.execute('x', { a: 1 })).toEqual({ a: 1 });
  });
});
