/** `demo`: the whole story on this machine, in the demo room. */
import { StillwireError } from '../errors/index.js';
import { defineCommand } from './command.js';
import { json } from './session.js';

interface DemoOptions {
  readonly signal: AbortSignal;
  /** Told in words what is being done. */
  readonly onProgress: (text: string) => void;
}

interface DemoResult {
  /** What `--json` prints, as it is. */
  readonly report: { readonly ok: boolean };
  /** The table at the end. */
  readonly text: string;
}

/** What the demo room offers; it is loaded only here. */
interface DemoRoom {
  readonly runDemo: (options: DemoOptions) => Promise<DemoResult>;
}

const ROOM: string = '../demo/index.js';

async function loadRoom(): Promise<DemoRoom> {
  try {
    return (await import(ROOM)) as DemoRoom;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new StillwireError('INTERNAL', 'this build has no demo', {}, error);
  }
}

export const demo = defineCommand({
  usage: 'demo',
  group: 'machine',
  summary: 'three guests, traffic, two checkpoints and a restart, under two minutes',
  description: `Brings up three guests on two segments, sends TCP and numbered UDP between all of them, takes a checkpoint in
mid-flow, takes another and loses everything, restarts, and compares what was sent with what was received. Exit code 1
when they differ.`,
  undoes: true,
  async run(session) {
    const { runDemo } = await loadRoom();
    const onProgress = (text: string): void => void session.say(text);
    const { report, text } = await runDemo({ signal: session.signal, onProgress });
    if (session.flags.json) await session.out.write(`${json(report)}\n`);
    else await session.out.line(text);
    return report.ok ? 0 : 1;
  },
});
