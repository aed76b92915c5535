// `npm run soak`: many checkpoints and restarts of loaded guests. The work is in src/demo/soak.ts; this runs the build.
import { soakCommand } from '../dist/demo/soak-command.js';

process.exitCode = await soakCommand(process.argv.slice(2));
