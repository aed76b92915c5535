// `npm run faults`: the fault matrix on real daemons and guests. The work is in src/trials; this runs the build.
import { faultsCommand } from '../dist/trials/faults-command.js';

process.exitCode = await faultsCommand(process.argv.slice(2));
