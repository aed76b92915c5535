/** `demo`: the whole story on this machine, in the demo room. */
import { defineCommand } from './command.js';
import { json } from './session.js';

export const demo = defineCommand({
  usage: 'demo',
  group: 'machine',
  summary: 'three guests, traffic, two checkpoints and a restart, under two minutes',
  description: `Brings up three guests on two segments, sends TCP and numbered UDP between all of them, takes a checkpoint in
mid-flow, takes another and loses everything, restarts, and compares what was sent with what was received. Exit code 1
when they differ.`,
  undoes: true,
  async run(session) {
    const { runDemo } = await import('../demo/index.js');
    const onProgress = (text: string): void => void session.say(text);
    const { report, text } = await runDemo({
      signal: session.signal,
      onProgress,
      state: session.stateDirectory,
    });
    // The one document without schemaVersion: its keys are fixed by those who read it.
    if (session.flags.json) await session.out.write(`${json(report)}\n`);
    else await session.out.line(text);
    return report.ok ? 0 : 1;
  },
});
