/**
 * Runs every check and suite of the project in order and says for each what was executed and what was expected.
 *
 *   node scripts/test.mjs [SUITE…]      all of them, or the named ones
 *
 * The expected minimum is committed in test/minimum.json: fewer tests than that, or one that was skipped in a kernel
 * or guest suite, is a failure, so that a machine that cannot run them never looks like one where they pass.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {{passed: number, failed: number, skipped: number, red?: string[], why?: string}} Result */

const root = fileURLToPath(new URL('..', import.meta.url));
const minimum = JSON.parse(readFileSync(join(root, 'test/minimum.json'), 'utf8'));
const scratch = mkdtempSync(join(tmpdir(), 'stillwire-tests-'));

/** @param {string} program @param {string[]} args */
function run(program, ...args) {
  return spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}

/** @param {string} program @param {string[]} args */
function read(program, ...args) {
  const { status, stdout } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const text = String(stdout);
  process.stdout.write(text);
  return { ok: status === 0, text };
}

const npm = (/** @type {string} */ script) => () => {
  const ok = run('npm', 'run', '--silent', script);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
};

/**
 * What failed, once more at the end, for whoever sees only the last lines: the test and the first line of its reason.
 * @param {{name: string, status: string, message: string, assertionResults: {fullName: string, status: string, failureMessages: string[]}[]}[]} files
 */
function redOf(files) {
  return files.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    const tests = assertionResults.filter((test) => test.status === 'failed');
    if (status === 'failed' && tests.length === 0) return [`${file}: ${message.split('\n', 1)[0]}`];
    return tests.map(
      ({ fullName, failureMessages: [why = ''] }) => `${file} > ${fullName}: ${why.split('\n', 1)[0]}`,
    );
  });
}

const vitest = (/** @type {string} */ project) => () => {
  const report = join(scratch, `${project}.json`);
  const bin = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const ok = run(process.execPath, bin, 'run', '--project', project, ...reporters);
  try {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    // A suite that breaks outside a test fails without a failed test.
    const failed = ok ? numFailedTests : Math.max(1, numFailedTests);
    return { passed: numPassedTests, failed, skipped: numPendingTests, red: redOf(testResults) };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
};

/** Programs that end with "passed=N failed=M". */
const counted =
  (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
  () => {
    const { ok, text } = read(program, ...args);
    const { passed = 0, failed = 0 } = /passed=(?<passed>\d+) failed=(?<failed>\d+)/.exec(text)?.groups ?? {};
    return { passed: Number(passed), failed: ok ? Number(failed) : Math.max(1, Number(failed)), skipped: 0 };
  };

const whole =
  (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
  () => {
    const ok = run(program, ...args);
    return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
  };

/** A program whose only document on stdout is {"cases":N,"failed":[…]}. */
const cases =
  (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
  () => {
    const { ok, text } = read(program, ...args);
    try {
      const { cases: played, failed } = JSON.parse(text);
      const count = ok ? failed.length : Math.max(1, failed.length);
      return { passed: played - failed.length, failed: count, skipped: 0, red: failed.map(String) };
    } catch {
      return { passed: 0, failed: 1, skipped: 0 };
    }
  };

/** Who has a program runs the suite; who has not is told that it did not run. Continuous integration has no DMTCP. */
const where = (/** @type {string} */ program, /** @type {() => Result} */ suite) => () => {
  if (spawnSync('sh', ['-c', `command -v ${program}`]).status === 0) return suite();
  return { passed: 0, failed: 0, skipped: 0, why: `${program} is not on PATH` };
};

/** @type {Record<string, () => Result>} */
const suites = {
  types: npm('typecheck'),
  lint: npm('lint'),
  format: npm('format:check'),
  pure: vitest('pure'),
  fuzz: whole(process.execPath, '--expose-gc', 'test/fuzz/main.mjs'),
  platform: counted('test/platform/run.sh'),
  kernel: vitest('kernel'),
  'kernel-epoll': vitest('kernel-epoll'),
  example: whole('examples/orchestrator/run.sh'),
  guest: vitest('guest'),
  dmtcp: where('dmtcp_launch', vitest('dmtcp')),
  faults: cases(process.execPath, 'bench/faults.mjs', '--quick', '--json'),
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(suites);
const rows = [];
const reds = [];
let passed = 0;
let failed = 0;
for (const name of wanted) {
  const suite = suites[name];
  if (suite === undefined) throw new Error(`no suite ${name}; there are ${Object.keys(suites).join(', ')}`);
  console.log(`\n== ${name}`);
  const began = Date.now();
  const result = suite();
  if (result.why !== undefined) {
    rows.push(`${name.padEnd(12)} NOT RUN, and so neither passed nor failed: ${result.why}`);
    continue;
  }
  const expected = minimum[name] ?? 1;
  const executed = result.passed + result.failed;
  const short = executed < expected || (name !== 'pure' && result.skipped > 0);
  passed += result.passed;
  failed += result.failed + (short ? 1 : 0);
  reds.push(...(result.red ?? []).map((what) => `red: ${name}: ${what}`));
  const verdict = result.failed > 0 ? 'FAILED' : short ? 'TOO FEW' : 'ok';
  const seconds = ((Date.now() - began) / 1000).toFixed(0);
  rows.push(
    `${name.padEnd(12)} executed ${executed} / expected at least ${expected}, skipped ${result.skipped}, ` +
      `failed ${result.failed}, ${seconds} s: ${verdict}`,
  );
}
rmSync(scratch, { recursive: true, force: true });
console.log(['', ...reds, '', ...rows, '', `${passed} passed, ${failed} failed`].join('\n'));
process.exit(failed === 0 ? 0 : 1);
