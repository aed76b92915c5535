// `npm run bench`: the data plane against its peers. The work is in src/bench; this runs the build.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { benchCommand } from '../dist/bench/bench-command.js';

const WRITE_DOCS = '--write-docs';
const args = process.argv.slice(2);
if (args.includes(WRITE_DOCS)) {
  const { FIGURES, writeDocs } = await import('./write-docs.mjs'); // needs prettier, which only a checkout has
  mkdirSync(dirname(FIGURES), { recursive: true });
  process.exitCode = await benchCommand([...args.filter((arg) => arg !== WRITE_DOCS), '--figures', FIGURES]);
  if (process.exitCode === 0) await writeDocs(FIGURES);
} else {
  process.exitCode = await benchCommand(args);
}
