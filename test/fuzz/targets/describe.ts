/** Frame describers: any bytes become one line of printable ASCII and `×`, of bounded length. */
import * as fc from 'fast-check';
import { describeFrame } from '../../../src/frame/describe.js';
import { anyFrame, anyVnet } from '../frames.js';
import { target, wrong } from '../target.js';

const MOST_CHARACTERS = 500;

export default target(() => ({
  inputs: fc.record({ bytes: anyFrame, vnet: fc.option(anyVnet, { nil: undefined }) }),
  check({ bytes, vnet }) {
    const words = describeFrame(bytes, vnet);
    if (!/^[\x20-\x7e×]+$/.test(words)) wrong(`unprintable: ${JSON.stringify(words)}`);
    if (words.length > MOST_CHARACTERS) wrong(`${words.length} characters`);
  },
}));
