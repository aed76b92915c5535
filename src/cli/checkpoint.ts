/** `checkpoint`: one consistent image of a running network. */
import type { CheckpointReport, ImageReport } from '../checkpoint/index.js';
import { defineCommand } from './command.js';
import { bytes, counted, milliseconds } from './format.js';
import { option, quiesceOf, quiesceOptions, type QuiesceFlags } from './options.js';
import type { Session } from './session.js';

interface CheckpointFlags extends QuiesceFlags {
  readonly requireProof?: true;
  readonly kill?: true;
}

/** The image in a few lines; what could not be proven port by port. */
export function describeImage(report: ImageReport, verb: string): string {
  const { name, inFlightFrames, proven, ports, path } = report;
  return [
    `${verb} ${name}: ${counted(inFlightFrames, 'frame')} in flight, ${proven ? 'proven' : 'not proven'}`,
    ...ports.filter((port) => !port.proven).map(({ port, reason = '' }) => `  ${port}: ${reason}`),
    `  ${path} (${bytes(report.bytes)})`,
  ].join('\n');
}

function describeCheckpoint(report: CheckpointReport): string {
  const { pauseMs, releaseMs, skewMs, killed } = report;
  const after = killed ? 'the guests have ended' : 'the network flows';
  const release = releaseMs === null ? '' : `, queues empty after ${milliseconds(releaseMs)}`;
  return [
    describeImage(report, 'checkpoint'),
    `  paused ${milliseconds(pauseMs)} (guests stopped within ${milliseconds(skewMs.stop)})${release}; ${after}`,
  ].join('\n');
}

export const checkpoint = defineCommand<CheckpointFlags>({
  usage: 'checkpoint [name]',
  group: 'network',
  summary: 'save guests and in-flight frames at one instant',
  description: `Holds the network, waits until what was delivered is inside the guests, stops and saves them, takes in what they
had still sent, resumes and releases. Without a name it is named by the time. Interrupted, or failing in whatever
way, it leaves no image and everything running.`,
  options: [
    ...quiesceOptions(),
    option('--require-proof', 'give up, with nothing changed, when the cut cannot be proven'),
    option('--kill', 'end guests and network once the checkpoint is durable'),
  ],
  undoes: true,
  async run(session: Session, [name], flags) {
    const client = await session.connect();
    const { requireProof, kill } = flags;
    const body = {
      ...quiesceOf(flags),
      ...(name !== undefined && { name }),
      ...(requireProof && { requireProof }),
      ...(kill && { kill }),
    };
    const report = await client.checkpoint(
      body,
      ({ phase, ms }) => session.progress.phase(phase, ms),
      session.signal,
    );
    session.progress.end();
    await session.document(report, () => describeCheckpoint(report));
    return undefined;
  },
});
