/** `up`: a network file becomes a running network. */
import { describeDefinition, readNetworkFile, type NetworkDefinition } from '../definition/index.js';
import type { UpJob, UpReport } from '../daemon/index.js';
import { defineCommand } from './command.js';
import { counted, facts } from './format.js';
import { option } from './options.js';
import { DEFAULT_FILE } from './places.js';
import { runJob } from './run-job.js';
import type { Session } from './session.js';

interface UpFlags {
  readonly detach?: true;
  readonly dryRun?: true;
}

function describeUp({ network, guests, ports, reattached }: UpReport): string {
  const size = `${counted(guests.length, 'guest')}, ${counted(ports.length, 'port')}`;
  if (reattached === undefined) return `${network} is up: ${size}`;
  const { resumed, ended, deliveredFrames, removed, checkpoint } = reattached;
  return [
    `${network}, whose daemon had died, is up again: ${size}`,
    facts([
      ['resumed', resumed.length === 0 ? 'nobody: no guest had been stopped' : resumed.join(', ')],
      ['ended', ended.length === 0 ? undefined : `${ended.join(', ')}, while there was no daemon`],
      ['delivered', `${counted(deliveredFrames, 'frame')} that had been held`],
      ['removed', removed.length === 0 ? undefined : `the half image ${removed.join(', ')}`],
      ['checkpoint', checkpoint === undefined ? undefined : `${checkpoint} is complete`],
    ]),
  ].join('\n');
}

/** The file that is named; or, of a network whose daemon died and that only -n names, what it left written down. */
async function described(
  session: Session,
  file: string | undefined,
): Promise<{
  readonly definition: NetworkDefinition;
  readonly checkpoints?: string;
  readonly state?: string;
}> {
  const { network } = session.flags;
  if (file === undefined && network !== undefined) {
    const { storedDefinition } = await session.daemonRoom();
    const stored = await storedDefinition(network);
    if (stored !== undefined) return stored;
  }
  return readNetworkFile(file ?? DEFAULT_FILE);
}

export const up = defineCommand<UpFlags>({
  usage: 'up [file]',
  group: 'network',
  summary: 'create the TAPs, start the guests, bridge them',
  description: `Creates what the network file describes (default ./${DEFAULT_FILE}) and runs it in the foreground: ^C takes
it down. What is wrong in the file is told with line and column before anything is created. Needs root, unless the file
says \`transport: dgram\` and has no external or device ports.

Where the daemon of this network was killed and its guests live, the network is taken up again: guests that it had
stopped run on, what was held is delivered, a half image is removed. The file has to say what it said then; -n NETWORK
without a file takes up what is there. A checkpoint with --kill that was complete is finished instead: its guests end,
and the exit code is 5.`,
  options: [
    option('--detach', 'return when the network is up; `stillwire down` ends it'),
    option('--dry-run', 'only tell what would be created'),
  ],
  undoes: true,
  async run(session, [file], { detach, dryRun }) {
    if (dryRun) {
      const read = await readNetworkFile(file ?? DEFAULT_FILE);
      await session.document(read, () => describeDefinition(read));
      return 0;
    }
    const { definition, checkpoints, state = session.stateDirectory } = await described(session, file);
    const job: UpJob = {
      kind: 'up',
      definition,
      state,
      ...(checkpoints !== undefined && { checkpoints }),
    };
    return runJob(session, job, detach !== true, async (report) => {
      if (session.flags.json) await session.document(report, () => '');
      else await session.say(describeUp(report));
    });
  },
});
