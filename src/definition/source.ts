/** The text of a network file as YAML 1.2, with the place of every node. */
import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Alias, LineCounter, Node, Pair } from 'yaml';
import type { FaultList, Position } from './faults.js';
import { countLines, findDuplicateKeys, keyOf, place, resolveAliases, tooDeep } from './soundness.js';

/** Largest network file, bytes: twice what the most ports need, and the worst text of this size is told within seconds. */
export const MAX_FILE_BYTES = 1 << 18;

/** Keys and indexes from the root. */
export type Path = readonly (string | number)[];

/** What the `yaml` package tells a programmer, for the writer of a file. */
const WORDS: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'a second YAML document begins here; a network file is one',
  NON_STRING_KEY: 'a key must be text',
};

interface Found {
  readonly key?: Node;
  readonly value: Node | null;
}

export class Source {
  private readonly indexes = new WeakMap<object, Map<string, Pair<Node, Node | null>>>();

  private constructor(
    private readonly root: Node | null,
    private readonly plain: unknown,
    private readonly targets: ReadonlyMap<Alias, Node>,
    private readonly lines: LineCounter,
  ) {}

  /**
   * Reads the text. Undefined when it is not sound YAML: then its meaning is uncertain, and only the faults of the
   * notation are told. Duplicate keys are told too, and reading goes on with the last.
   */
  static read(text: string, faults: FaultList): Source | undefined {
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_FILE_BYTES) {
      faults.add(
        { line: 1, column: 1 },
        `the file has ${bytes} bytes; a network file has at most ${MAX_FILE_BYTES}`,
      );
      return undefined;
    }
    const body = text.replace(/^\uFEFF/, '');
    const lines = countLines(body);
    const at = (offset: number): Position => place(lines, offset);
    const deep = tooDeep(body);
    if (deep !== undefined) {
      faults.add(at(deep), 'nested too deeply for a network file');
      return undefined;
    }
    const document = parseDocument(body, {
      version: '1.2',
      schema: 'core',
      merge: false,
      stringKeys: true,
      uniqueKeys: false,
      resolveKnownTags: false,
      prettyErrors: false,
    });
    for (const { code, message, pos } of [...document.errors, ...document.warnings]) {
      faults.add(at(pos[0]), WORDS[code] ?? message);
    }
    if (!faults.empty) return undefined;
    const targets = resolveAliases(document, at, faults);
    if (targets === undefined) return undefined;
    findDuplicateKeys(document, at, faults);
    return new Source(document.contents, document.toJS({ maxAliasCount: -1 }), targets, lines);
  }

  /** The plain value at a path; undefined when there is none. */
  value(path: Path): unknown {
    let value = this.plain;
    for (const step of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
      value = (value as Record<string | number, unknown>)[step];
    }
    return value;
  }

  has(path: Path): boolean {
    return this.find(path) !== undefined;
  }

  /** Keys of the map at a path in the order of the file, each once. */
  keys(path: Path): string[] {
    const node = this.find(path)?.value;
    return isMap(node) ? [...this.index(node).keys()] : [];
  }

  /** Where the value at a path stands; its key when nothing stands there; the map around it when the key is missing. */
  at(path: Path): Position {
    const found = this.find(path);
    if (found === undefined) return path.length === 0 ? { line: 1, column: 1 } : this.at(path.slice(0, -1));
    const { key, value } = found;
    const empty = value === null || (isScalar(value) && value.source === '' && value.value === null);
    return this.place(empty ? (key ?? value) : value);
  }

  /** Where the key of a map's entry stands. */
  keyAt(path: Path): Position {
    const key = this.find(path)?.key;
    return key === undefined ? this.at(path) : this.place(key);
  }

  /** A scalar as it was written: `0x10` and `1.50`, not 16 and 1.5. */
  spelling(path: Path): string {
    const node = this.find(path)?.value;
    return isScalar(node) ? (node.source ?? String(node.value)) : '';
  }

  private place(node: Node | null): Position {
    return place(this.lines, node?.range?.[0] ?? 0);
  }

  private find(path: Path): Found | undefined {
    let found: Found = { value: this.follow(this.root) };
    for (const step of path) {
      const node = found.value;
      if (isMap(node)) {
        const pair = this.index(node).get(String(step));
        if (pair === undefined) return undefined;
        found = { key: pair.key, value: this.follow(pair.value) };
      } else if (isSeq(node) && typeof step === 'number' && step in node.items) {
        found = { value: this.follow(node.items[step] as Node | null) };
      } else {
        return undefined;
      }
    }
    return found;
  }

  private follow(node: Node | null): Node | null {
    return isAlias(node) ? (this.targets.get(node) ?? null) : node;
  }

  private index(map: { readonly items: readonly unknown[] }): Map<string, Pair<Node, Node | null>> {
    let index = this.indexes.get(map);
    if (index === undefined) {
      const pairs = map.items as readonly Pair<Node, Node | null>[];
      index = new Map(pairs.map((pair) => [keyOf(pair), pair]));
      this.indexes.set(map, index);
    }
    return index;
  }
}
