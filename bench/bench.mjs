// `npm run bench`: the data plane against its peers. The work is in src/bench; this runs the build.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchCommand } from '../dist/bench/bench-command.js';

const WRITE_DOCS = '--write-docs';
const args = process.argv.slice(2);
if (args.includes(WRITE_DOCS)) {
  const { writeDocs } = await import('./write-docs.mjs'); // needs prettier, which only a checkout has
  const directory = mkdtempSync(join(tmpdir(), 'stillwire-bench-'));
  try {
    const figures = join(directory, 'figures.json');
    process.exitCode = await benchCommand([
      ...args.filter((arg) => arg !== WRITE_DOCS),
      '--figures',
      figures,
    ]);
    if (process.exitCode === 0) await writeDocs(figures);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
} else {
  process.exitCode = await benchCommand(args);
}
