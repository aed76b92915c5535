/** `capture`: live pcapng of all ports. */
import { StillwireError } from '../errors/index.js';
import { defineCommand } from './command.js';
import { bytes } from './format.js';
import { option } from './options.js';
import { openTarget } from './target.js';

export const capture = defineCommand<{ readonly write?: string }>({
  usage: 'capture',
  group: 'network',
  summary: 'record all ports live as pcapng: capture -w - | wireshark -k -i -',
  description:
    'Records every frame of every port until ^C, which is its usual end, or until the network ends.',
  options: [option('-w, --write <file>', 'where to; - is stdout')],
  undoes: true,
  async run(session, _, { write: name }) {
    if (name === undefined) throw new StillwireError('USAGE', 'capture needs -w FILE, or -w - for stdout');
    const client = await session.connect();
    const target = await openTarget(session, name);
    let written = 0;
    try {
      for await (const chunk of client.capture(session.signal)) {
        if (!(await target.write(chunk))) break;
        written += chunk.length;
      }
    } catch (error) {
      if (!session.signal.aborted) throw error;
    } finally {
      await target.close();
    }
    const why = session.signal.reason as StillwireError | undefined;
    if (why !== undefined && why.code !== 'INTERRUPTED') throw why;
    if (name !== '-') {
      await session.document({ file: name, bytes: written }, () => `${bytes(written)} in ${name}`);
    }
    return undefined;
  },
});
