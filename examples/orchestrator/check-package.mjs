// @ts-check
/** Checks the list of files that `npm pack --json` wrote: what is needed, and nothing else. */
import { readFileSync } from 'node:fs';

const NEEDED = [
  'package.json',
  'README.md',
  'LICENSE',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  'plugin/stillwire-dmtcp.c',
];
const ALLOWED =
  /^(?:package\.json|README\.md|LICENSE|dist\/.+\.(?:js|js\.map|d\.ts)|plugin\/[^/]+\.c|systemd\/[^/]+)$/;

/** @type {[{ files: { path: string }[], size: number }]} */
const [{ files, size }] = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const paths = files.map(({ path }) => path);
const faults = [
  ...NEEDED.filter((path) => !paths.includes(path)).map((path) => `${path} is missing`),
  ...paths.filter((path) => !ALLOWED.test(path)).map((path) => `${path} has no business in it`),
];
for (const fault of faults) console.error(`the package: ${fault}`);
console.log(`${files.length} files, ${Math.round(size / 1024)} kB`);
process.exitCode = faults.length === 0 ? 0 : 1;
