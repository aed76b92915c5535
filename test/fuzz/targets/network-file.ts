/** The network file: any text is a network or FILE_INVALID with the places of its faults. */
import * as fc from 'fast-check';
import { StillwireError } from '../../../src/errors/index.js';
import { FULL, parse } from '../../pure/network-file.fixture.js';
import { edits, spoilBytes } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

const repeated = (text: string, times: number): string => new Array(times).fill(text).join('');
/** Aliases that stand for aliases, ten times each: 10^9 nodes when followed. */
const BOMB = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]']
  .concat([...Array(9).keys()].map((i) => `a${i + 1}: &a${i + 1} [${repeated(`*a${i},`, 10)}]`))
  .join('\n');

const EVIL = [
  BOMB,
  repeated('[', 5000),
  repeated('{a: ', 5000),
  repeated('- ', 5000),
  repeated('? ', 3000),
  repeated('? - ', 2000),
  'a: &a [*a]',
  '__proto__: {polluted: 1}',
  'guests: {__proto__: {nics: []}, constructor: {}, toString: }',
  'segments: {lan: {}, __proto__: {}, hasOwnProperty: {}}',
  '<<: {segments: {lan: {}}}',
  'guests: {a: {memory: 1e400, cpus: 99999999999999999999, mtu: 0x7fffffffffffffff}}',
  'guests: {a: {nics: [{segment: lan, mac: 9e99}, *x, !!binary aGk=, !!js/function x]}}',
  `segments: {${[...Array(3000).keys()].map((i) => `s${i}: {}`).join(', ')}}`,
  `guests: {a: {nics: [${repeated('{segment: lan},', 3000)}]}}`,
  `k: "${repeated('\\U0010FFFF', 2000)}"`,
  `k: |\n${repeated('  x\n', 20_000)}`,
  repeated('a: 1\n', 5000),
  `# ${repeated('x', 100_000)}`,
  '%YAML 9.9\n---\n...\n---\n',
  '\uFEFF\uFEFFsegments: {lan: {}}',
];

const fragment = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...EVIL) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
);

export default target(() => ({
  inputs: fc.oneof(
    { weight: 6, arbitrary: fc.record({ changes: edits }) },
    { weight: 3, arbitrary: fc.record({ changes: edits, before: fragment, after: fragment }) },
    { weight: 1, arbitrary: fc.record({ changes: fc.constant([]), before: fragment, after: fragment }) },
  ),
  check(input) {
    const [before, after] = 'before' in input ? [`${input.before}\n`, `\n${input.after}`] : ['', ''];
    const text = before + spoilBytes(Buffer.from(FULL), input.changes).toString('utf8') + after;
    try {
      const { definition } = parse(text);
      if (JSON.stringify(JSON.parse(JSON.stringify(definition))) !== JSON.stringify(definition)) {
        wrong('a definition that JSON does not carry');
      }
    } catch (error) {
      if (!(error instanceof StillwireError) || error.code !== 'FILE_INVALID') throw error;
      // eslint-disable-next-line no-control-regex -- they are what must not be there
      if (/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(error.message))
        wrong('a fault that rules a terminal');
      if (error.message.length > 1_000_000) wrong(`${error.message.length} characters of faults`);
    }
    demandCleanPrototypes();
  },
}));
