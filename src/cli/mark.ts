/** `mark` inside a hold, and `release` of one. */
import { StillwireError } from '../errors/index.js';
import { describeImage } from './checkpoint.js';
import { defineCommand } from './command.js';
import { milliseconds } from './format.js';
import { option } from './options.js';

export const mark = defineCommand<{ readonly hold?: string }>({
  usage: 'mark <name>',
  group: 'quiesce',
  summary: 'inside `hold`: write the in-flight frames as a checkpoint without guests',
  description: `Call it when every machine is stopped: it takes in what they had still sent and writes all frames in flight, with
the evidence that these are all.`,
  options: [option('--hold <token>', 'the hold; `stillwire hold` puts it into STILLWIRE_HOLD')],
  async run(session, [name = ''], { hold }) {
    if (hold === undefined) {
      throw new StillwireError('USAGE', 'mark stands inside a hold: stillwire hold -- CMD, and mark in CMD');
    }
    const client = await session.connect();
    const report = await client.mark(hold, name);
    await session.document(report, () => describeImage(report, 'mark'));
    return undefined;
  },
});

export const release = defineCommand({
  usage: 'release',
  group: 'quiesce',
  summary: 'end whatever hold lasts; held frames are delivered',
  async run(session) {
    const client = await session.connect();
    const { heldMs, releaseMs } = await client.release('current');
    await session.document({ network: client.network, heldMs, releaseMs }, () => {
      const empty = releaseMs === null ? '' : `, queues empty after ${milliseconds(releaseMs)}`;
      return `${client.network} is released after ${milliseconds(heldMs)}${empty}`;
    });
    return undefined;
  },
});
