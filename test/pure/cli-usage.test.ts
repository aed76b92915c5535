import { afterEach, describe, expect, test, vi } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.js';
import { parseArguments, type Invocation } from '../../src/cli/parse.js';
import { EXIT } from '../../src/errors/index.js';
import { errorOf, stillwire } from './cli-run.js';

afterEach(() => vi.unstubAllEnvs());

const parse = (...args: string[]): Invocation => {
  const parsed = parseArguments(COMMANDS, args);
  if (typeof parsed === 'string') throw new Error('a page of the manual');
  return parsed;
};

describe('a wrong command line ends with exit code 2 and an empty stdout', () => {
  test.each([
    { args: [], says: 'Usage: stillwire' },
    { args: ['stats'], says: 'Did you mean status?' },
    { args: ['status', '--jsn'], says: 'Did you mean --json?' },
    { args: ['status', 'lab'], says: 'too many arguments' },
    { args: ['show'], says: "missing required argument 'checkpoint'" },
    { args: ['checkpoint', '--method', 'magic'], says: 'Allowed choices are auto, count, cookie, quiet' },
    { args: ['status', '--timeout', '5'], says: 'a number and a unit' },
    { args: ['checkpoint', '--drain', '0'], says: 'from 1 ms to 7 days' },
    { args: ['hold', '--lease', 'soon', '--', 'true'], says: 'a number and a unit' },
    { args: ['hold'], says: 'stillwire hold -- CMD' },
    { args: ['mark', 'now'], says: 'inside a hold' },
    { args: ['capture'], says: '-w FILE' },
  ])('$args', async ({ args, says }) => {
    const { code, stdout, stderr } = await stillwire(args);
    expect(stderr).toContain(says);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  test('with --json the error is one document on stderr, wherever the flag stands', async () => {
    const outcome = await stillwire(['--json', 'no-such-command']);
    expect(outcome.code).toBe(2);
    expect(JSON.parse(outcome.stderr)).toMatchObject({ schemaVersion: 1 });
    expect(errorOf(outcome)).toMatchObject({ code: 'USAGE', details: {} });
    expect(errorOf(outcome).message).toContain('no-such-command');
    expect(errorOf(outcome).next).not.toBe('');
  });
});

describe('the manual', () => {
  test.each([['help'], ['--help'], ['-h']])(
    '%s names every command and every exit code on stdout',
    async (flag) => {
      const { code, stdout, stderr } = await stillwire([flag]);
      expect(code).toBe(0);
      expect(stderr).toBe('');
      for (const { usage } of COMMANDS)
        expect(stdout).toMatch(new RegExp(`^  ${usage.split(' ')[0]!}\\b`, 'm'));
      for (const exit of Object.values(EXIT)) expect(stdout).toMatch(new RegExp(`^ +${exit}  \\S`, 'm'));
    },
  );

  test.each(COMMANDS.map(({ usage }) => usage.split(' ')[0]!))('help %s', async (name) => {
    const { code, stdout } = await stillwire(['help', name]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: stillwire ${name}`);
    expect(stdout).toContain('--network <name>');
  });

  test('--version', async () => {
    expect((await stillwire(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('flags', () => {
  test('global ones may stand before and after the command', () => {
    expect(parse('-n', 'lab', 'status', '--json').globals).toMatchObject({ network: 'lab', json: true });
  });

  test('what stands behind -- is the command of a hold, untouched', () => {
    const { operands, globals, flags } = parse(
      'hold',
      '--lease',
      '2s',
      '--',
      'ip',
      '-n',
      'x',
      '--json',
      '--',
      'y',
    );
    expect(operands).toEqual(['ip', '-n', 'x', '--json', '--', 'y']);
    expect(globals.network).toBeUndefined();
    expect(globals.json).toBeUndefined();
    expect(flags).toEqual({ lease: 2000 });
  });

  test('durations', () => {
    expect(parse('status', '--timeout', '1.5s').globals.timeout).toBe(1500);
    expect(parse('status', '--timeout', '2m').globals.timeout).toBe(120_000);
    expect(parse('checkpoint', '--drain', '30', '--quiet-wait', '20ms').flags).toEqual({
      drain: 30,
      quietWait: 20,
    });
  });

  test('each is also a variable of the environment, and goes before it', () => {
    vi.stubEnv('STILLWIRE_NETWORK', 'from-environment');
    vi.stubEnv('STILLWIRE_REQUIRE_PROOF', '1');
    vi.stubEnv('STILLWIRE_QUIET_WAIT', '70');
    const { globals, flags } = parse('checkpoint');
    expect(globals.network).toBe('from-environment');
    expect(flags).toEqual({ requireProof: true, quietWait: 70 });
    expect(parse('checkpoint', '-n', 'from-line').globals.network).toBe('from-line');
  });

  test('a wrong variable is a usage error too', async () => {
    vi.stubEnv('STILLWIRE_TIMEOUT', 'later');
    const { code, stderr } = await stillwire(['status']);
    expect(code).toBe(2);
    expect(stderr).toContain('STILLWIRE_TIMEOUT');
  });

  test.each(['0', 'false', ''])('a switch set to %j in the environment is off', (no) => {
    vi.stubEnv('STILLWIRE_JSON', no);
    expect(parse('status').globals.json).toBeUndefined();
  });

  test('every option of every command has its variable', () => {
    const variables = COMMANDS.flatMap(({ options = [] }) => options).map(({ envVar, long }) => [
      long,
      envVar,
    ]);
    expect(variables).toContainEqual(['--force-disks', 'STILLWIRE_FORCE_DISKS']);
    for (const [, variable] of variables) expect(variable).toMatch(/^STILLWIRE_[A-Z_]+$/);
  });
});
