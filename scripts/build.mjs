// Compiles src/ to dist/ and makes the command executable. One step, so that `npm ci && npm run build` suffices.
import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}/dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}/node_modules/typescript/bin/tsc`, '-p', `${root}/tsconfig.json`], {
  stdio: 'inherit',
});
chmodSync(`${root}/dist/cli/main.js`, 0o755);
