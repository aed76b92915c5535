// `npm run bench`: the data plane against its peers. The work is in src/bench; this runs the build.
import { benchCommand } from '../dist/bench/bench-command.js';

process.exitCode = await benchCommand(process.argv.slice(2));
