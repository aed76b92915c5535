/** Spoiling what is valid: bytes, and JSON documents. */
import * as fc from 'fast-check';

/** One change of a byte string. `at` is taken modulo what is there. */
export type Edit =
  | { readonly do: 'set' | 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly do: 'cut' | 'delete' | 'double'; readonly at: number; readonly length: number }
  | { readonly do: 'flip'; readonly at: number; readonly bit: number };

/** Numbers at the edges of what fields can hold, in both byte orders. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
const edge = fc
  .record({ value: fc.constantFrom(...EDGES), width: fc.constantFrom(1, 2, 4), little: fc.boolean() })
  .map(({ value, width, little }) => {
    const bytes = Buffer.alloc(4);
    if (little) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return new Uint8Array(little ? bytes.subarray(0, width) : bytes.subarray(4 - width));
  });

const at = fc.nat(0xffff);
const piece = fc.oneof(edge, fc.uint8Array({ minLength: 1, maxLength: 24 }));
const length = fc.integer({ min: 1, max: 64 });

export const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constantFrom('set' as const, 'insert' as const), at, bytes: piece }),
    fc.record({ do: fc.constantFrom('cut' as const, 'delete' as const, 'double' as const), at, length }),
    fc.record({ do: fc.constant('flip' as const), at, bit: fc.nat(7) }),
  ),
  { minLength: 0, maxLength: 6 },
);

/** The bytes with the changes made, one after the other. */
export function spoilBytes(whole: Uint8Array, changes: readonly Edit[]): Buffer {
  let bytes = Buffer.from(whole);
  for (const change of changes) {
    const place = bytes.length === 0 ? 0 : change.at % bytes.length;
    const before = bytes.subarray(0, place);
    const after = bytes.subarray(place);
    if (change.do === 'flip') {
      if (bytes.length > 0) bytes[place]! ^= 1 << change.bit;
    } else if ('bytes' in change) {
      const over = change.do === 'set' ? change.bytes.length : 0;
      bytes = Buffer.concat([before, change.bytes, after.subarray(over)]);
    } else if (change.do === 'cut') bytes = Buffer.from(before);
    else if (change.do === 'delete') bytes = Buffer.concat([before, after.subarray(change.length)]);
    else bytes = Buffer.concat([before, after.subarray(0, change.length), after]);
  }
  return bytes;
}

/** Values that programs trip over. */
export const evilValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', [], {}, 0, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, -0, '\u0000', '..'),
  fc.constantFrom<unknown>('__proto__', 'constructor', '../../etc/passwd', '\u001b[2J', 'a'.repeat(5000)),
  fc.constantFrom<unknown>(new Array(2000).fill(0), JSON.parse('{"__proto__":{"polluted":1}}') as unknown),
  fc.jsonValue({ maxDepth: 3 }),
);

/** One change of a JSON document; `path` is walked modulo the entries of each level. */
export interface JsonEdit {
  readonly path: readonly number[];
  readonly do: 'replace' | 'remove' | 'rename' | 'copy';
  readonly value: unknown;
  readonly key: string;
}

const key = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'name', '0', '', 'a\nb');
export const jsonEdits: fc.Arbitrary<JsonEdit[]> = fc.array(
  fc.record({
    path: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
    do: fc.constantFrom(
      'replace' as const,
      'replace' as const,
      'remove' as const,
      'rename' as const,
      'copy' as const,
    ),
    value: evilValue,
    key,
  }),
  { minLength: 1, maxLength: 4 },
);

type Json = Record<string, unknown>;
/** As JSON.parse would: an own property, whatever its name. */
function put(object: Json, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** A copy of the document with the changes made. */
export function spoilJson(document: unknown, changes: readonly JsonEdit[]): unknown {
  const copy: unknown = JSON.parse(JSON.stringify(document));
  for (const { path, do: verb, value, key: name } of changes) {
    let node = copy as Json;
    for (const [depth, step] of path.entries()) {
      const keys = Object.keys(node);
      if (keys.length === 0) break;
      const chosen = keys[step % keys.length]!;
      const below = node[chosen];
      if (depth < path.length - 1 && typeof below === 'object' && below !== null) {
        node = below as Json;
        continue;
      }
      const twin = structuredClone(below); // the same object twice could come to hold itself
      if (verb === 'replace') put(node, chosen, structuredClone(value));
      else if (verb === 'remove') {
        if (Array.isArray(node)) node.splice(Number(chosen), 1);
        else Reflect.deleteProperty(node, chosen);
      } else if (verb === 'rename' && !Array.isArray(node)) {
        Reflect.deleteProperty(node, chosen);
        put(node, name, below);
      } else if (Array.isArray(node)) node.push(twin);
      else put(node, name, twin);
      break;
    }
  }
  return copy;
}
