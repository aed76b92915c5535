#!/usr/bin/env node
import { run } from './run.js';

const { stdout, stderr } = process;
const code = await run(process.argv.slice(2), {
  stdout,
  stderr,
  loadDaemon: () => import('../daemon/index.js'),
});
// Not left to an empty event loop: a command that was interrupted may have left something open.
process.exit(code);
