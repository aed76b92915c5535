/**
 * A QEMU that lies: greetings, answers and events of any shape, torn, endless, deep. Whatever is asked of it ends, with
 * a value of the right shape or a StillwireError, and nothing is kept of what it said.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { StillwireError } from '../../../src/errors/index.js';
import { ask, MigrateAnswer, StatusAnswer } from '../../../src/guest/qemu-answers.js';
import { writableDisks } from '../../../src/guest/qemu-disks.js';
import { readIdentity } from '../../../src/guest/qemu-identity.js';
import { loadState, prepareMigration } from '../../../src/guest/qemu-migration.js';
import { QmpClient } from '../../../src/guest/qmp.js';
import { edits, evilValue, jsonEdits, spoilBytes, spoilJson, type Edit, type JsonEdit } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

/** What an honest QEMU would say to each command. */
const HONEST: Readonly<Record<string, unknown>> = {
  'query-status': { status: 'paused', running: false, singlestep: false },
  'query-version': { qemu: { major: 7, minor: 2, micro: 22 }, package: '' },
  'query-cpus-fast': [{ 'qom-path': '/machine/unattached/device[0]', 'cpu-index': 0 }],
  'query-memory-size-summary': { 'base-memory': 134217728, 'plugged-memory': 0 },
  'query-block': [{ device: 'd', inserted: { file: '/x', ro: false, drv: 'qcow2', 'node-name': 'n' } }],
  'query-migrate': { status: 'failed', 'error-desc': 'no room' },
  'qom-get': 'pc-q35-7.2-machine',
};
const EVENTS = ['STOP', 'RESUME', 'RESET', 'SHUTDOWN', 'MIGRATION', 'GUEST_PANICKED', '__proto__', ''];
const IDLE_MS = 20;
const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 } }, capabilities: [] } };

type Reply =
  | { readonly say: 'honest' | 'nothing' | 'hangUp' }
  | { readonly say: 'value' | 'refuse' | 'line'; readonly value: unknown }
  | { readonly say: 'spoilt'; readonly changes: JsonEdit[] }
  | { readonly say: 'bytes'; readonly changes: Edit[] }
  | { readonly say: 'event'; readonly name: string; readonly value: unknown; readonly times: number }
  | { readonly say: 'flood'; readonly text: string; readonly times: number };

const reply: fc.Arbitrary<Reply> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ say: fc.constant('honest' as const) }) },
  { weight: 1, arbitrary: fc.record({ say: fc.constantFrom('nothing' as const, 'hangUp' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      say: fc.constantFrom('value' as const, 'refuse' as const, 'line' as const),
      value: evilValue,
    }),
  },
  { weight: 2, arbitrary: fc.record({ say: fc.constant('spoilt' as const), changes: jsonEdits }) },
  { weight: 1, arbitrary: fc.record({ say: fc.constant('bytes' as const), changes: edits }) },
  {
    weight: 2,
    arbitrary: fc.record({
      say: fc.constant('event' as const),
      name: fc.constantFrom(...EVENTS),
      value: fc.oneof(evilValue, fc.constantFrom({ status: 'completed' }, { status: 'failed' })),
      times: fc.constantFrom(1, 1, 1000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      say: fc.constant('flood' as const),
      text: fc.constantFrom('x', '[', '{"a":', '\n', '{}\n', '\u0000', '{"event":"X"}\n', '"\\ud800"'),
      times: fc.constantFrom(1, 1000, 2_000_000),
    }),
  },
);

class Liar {
  readonly #script: readonly Reply[];
  #next = 0;

  constructor(script: readonly Reply[]) {
    this.#script = script;
  }

  serve(socket: Socket): void {
    socket.on('error', () => undefined);
    this.#say(socket, GREETING, 0, '');
    let rest = '';
    // Nobody waits long for an answer that does not come: the end of the connection is the end of every command.
    const bored = setTimeout(() => socket.end(), IDLE_MS);
    socket.on('close', () => clearTimeout(bored));
    socket.on('data', (chunk) => {
      bored.refresh();
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const { id, execute } = JSON.parse(line) as { id: number; execute: string };
        this.#say(socket, { return: HONEST[execute] ?? {}, id }, id, execute);
      }
    });
  }

  #say(socket: Socket, honest: object, id: number, command: string): void {
    const said = this.#script[this.#next++];
    const line = (value: unknown): void => void socket.write(`${JSON.stringify(value)}\r\n`);
    // At the end of the script everybody goes home: what is still waited for must end with that.
    if (said === undefined || said.say === 'hangUp') socket.end();
    else if (said.say === 'honest') {
      line(honest);
      if (command === 'migrate-incoming') line({ event: 'MIGRATION', data: { status: 'completed' } });
    } else if (said.say === 'value') line({ return: said.value, id });
    else if (said.say === 'refuse') line({ error: said.value, id });
    else if (said.say === 'line') line(said.value);
    else if (said.say === 'spoilt') line(spoilJson(honest, said.changes));
    else if (said.say === 'bytes')
      socket.write(spoilBytes(Buffer.from(`${JSON.stringify(honest)}\r\n`), said.changes));
    else if (said.say === 'flood') socket.write(said.text.repeat(said.times));
    else if (said.say === 'event') {
      const event = `${JSON.stringify({ event: said.name, data: said.value })}\n`;
      socket.write(event.repeat(said.value === null || typeof said.value !== 'object' ? said.times : 1));
      line(honest);
    }
  }
}

const OPERATIONS: ((qmp: QmpClient) => Promise<unknown>)[] = [
  (qmp) => ask(qmp, StatusAnswer, 'query-status'),
  (qmp) => ask(qmp, MigrateAnswer, 'query-migrate'),
  (qmp) => writableDisks(qmp),
  (qmp) => readIdentity(qmp, {}),
  (qmp) => prepareMigration(qmp),
  (qmp) => loadState(qmp, 'anna', 3),
];

async function demandAnswer(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof StillwireError)) throw error;
    if (error.message.length > 10_000) wrong(`${error.message.length} characters of an error`);
  }
}

export default target(() => {
  const directory = mkdtempSync(join(tmpdir(), 'swq-'));
  const path = join(directory, 'q');
  let liar = new Liar([]);
  const server = createServer((socket) => liar.serve(socket)).listen(path);
  return {
    inputs: fc.record({
      script: fc.array(reply, { maxLength: 12 }),
      honestly: fc.boolean(),
      operations: fc.array(fc.nat(OPERATIONS.length - 1), { minLength: 1, maxLength: 4 }),
    }),
    async check({ script, honestly, operations }) {
      // Most scripts would never get past the greeting otherwise.
      const polite: Reply[] = honestly ? [{ say: 'honest' }, { say: 'honest' }] : [];
      liar = new Liar([...polite, ...script]);
      await demandAnswer(
        (async () => {
          const qmp = await QmpClient.connect(path, { guest: 'anna', timeoutMs: 2000 });
          setTimeout(() => qmp.close(), 2000).unref();
          await Promise.all(operations.map((operation) => demandAnswer(OPERATIONS[operation]!(qmp))));
          qmp.close();
          const { code } = await qmp.closed;
          if (!['GUEST_DIED', 'GUEST_FAILED'].includes(code)) wrong(`ended with ${code}`);
        })(),
      );
      demandCleanPrototypes();
    },
    async close() {
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
});
