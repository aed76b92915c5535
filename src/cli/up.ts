/** `up`: a network file becomes a running network. */
import { describeDefinition, readNetworkFile } from '../definition/index.js';
import type { NetworkStatus } from '../checkpoint/index.js';
import type { UpJob } from '../daemon/index.js';
import { defineCommand } from './command.js';
import { counted } from './format.js';
import { option } from './options.js';
import { DEFAULT_FILE } from './places.js';
import { runJob } from './run-job.js';

interface UpFlags {
  readonly detach?: true;
  readonly dryRun?: true;
}

const describeUp = ({ network, guests, ports }: NetworkStatus): string =>
  `${network} is up: ${counted(guests.length, 'guest')}, ${counted(ports.length, 'port')}`;

export const up = defineCommand<UpFlags>({
  usage: 'up [file]',
  group: 'network',
  summary: 'create the TAPs, start the guests, bridge them',
  description: `Creates what the network file describes (default ./${DEFAULT_FILE}) and runs it in the foreground: ^C takes
it down. What is wrong in the file is told with line and column before anything is created. Needs root, unless the file
says \`transport: dgram\` and has no external or device ports.`,
  options: [
    option('--detach', 'return when the network is up; `stillwire down` ends it'),
    option('--dry-run', 'only tell what would be created'),
  ],
  undoes: true,
  async run(session, [file = DEFAULT_FILE], { detach, dryRun }) {
    const described = await readNetworkFile(file);
    const { definition, checkpoints } = described;
    if (dryRun) {
      await session.document(described, () => describeDefinition(described));
      return 0;
    }
    const job: UpJob = {
      kind: 'up',
      definition,
      state: session.stateDirectory,
      ...(checkpoints !== undefined && { checkpoints }),
    };
    return runJob(session, job, detach !== true, async (status) => {
      if (session.flags.json) await session.document(status, () => '');
      else await session.say(describeUp(status));
    });
  },
});
