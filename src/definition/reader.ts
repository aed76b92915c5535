/**
 * Reads one map of the file against the schema of its keys, and tells what is wrong at the node where it is wrong.
 * What is right is given back even beside faults, so that one reading finds all of them.
 */
import { z } from 'zod';
import { quoted } from './faults.js';
import type { FaultList } from './faults.js';
import { NAME, NAME_RULE, suggestion } from './names.js';
import type { Path, Source } from './source.js';

export interface Read<T> {
  /** The keys that are there and sound. */
  readonly given: Partial<T>;
  /** The whole map; undefined when a fault was found in it. */
  readonly complete: T | undefined;
}

export class Reader {
  constructor(
    readonly source: Source,
    readonly faults: FaultList,
  ) {}

  /**
   * Reads the map at a path; nothing at all counts as an empty map.
   * @param whose - what has these keys, such as "a guest"
   */
  map<S extends z.ZodRawShape>(
    path: Path,
    schema: z.ZodObject<S>,
    whose: string,
  ): Read<z.output<z.ZodObject<S>>> {
    type Output = z.output<z.ZodObject<S>>;
    if (!this.isMap(path, whose)) return { given: {}, complete: undefined };
    const known = Object.keys(schema.shape);
    let unknown = false;
    const present: Record<string, unknown> = {};
    for (const key of this.source.keys(path)) {
      if (known.includes(key)) present[key] = this.source.value([...path, key]);
      else {
        unknown = true;
        this.faults.add(this.source.keyAt([...path, key]), unknownKey(key, known, whose));
      }
    }
    const whole = schema.safeParse(present);
    if (whole.success) return { given: whole.data, complete: unknown ? undefined : whole.data };
    for (const issue of whole.error.issues) this.tell(path, issue);
    const wrong = new Set(whole.error.issues.map((issue) => issue.path[0]));
    const sound = Object.keys(present).filter((key) => !wrong.has(key));
    // Each was found right above; parsed again alone, for what its schema makes of it.
    const given = sound.map((key) => [key, z.parse(schema.shape[key]!, present[key])] as const);
    return { given: Object.fromEntries(given) as Partial<Output>, complete: undefined };
  }

  /**
   * Names of the entries of a map of segments, guests or ports; a bad name is told, and listed all the same.
   * @param one - what an entry is, such as "guest"
   */
  names(path: Path, one: string): string[] {
    if (!this.source.has(path) || !this.isMap(path, `${one}s`)) return [];
    const names = this.source.keys(path);
    for (const name of names) {
      if (NAME.test(name)) continue;
      this.faults.add(
        this.source.keyAt([...path, name]),
        `${one} name ${quoted(name)}: expected ${NAME_RULE}`,
      );
    }
    return names;
  }

  private isMap(path: Path, whose: string): boolean {
    const value = this.source.value(path) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return true;
    this.faults.add(
      this.source.at(path),
      `${label(path)}expected a map with the keys of ${whose}, found ${found(value)}`,
    );
    return false;
  }

  private tell(path: Path, issue: z.core.$ZodIssue): void {
    const at = [...path, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))];
    const position = this.source.at(at);
    const value = this.source.value(at);
    const wanted =
      issue.code === 'custom' ? issue.message : `expected ${issue.message}, found ${found(value)}`;
    if (!this.source.has(at)) {
      this.faults.add(position, `missing key "${String(issue.path[0])}": expected ${issue.message}`);
    } else {
      // An unquoted 486, true or 1e3 is not text to YAML, whatever it looks like.
      const quote = issue.code === 'invalid_type' && issue.expected === 'string' && isUnquoted(value);
      this.faults.add(position, `${label(at)}${wanted}${quote ? ' (text of this form needs quotes)' : ''}`);
    }
  }
}

/** `nics[0].mac: `, the part of the path that a reader of the line wants to see. */
function label(path: Path): string {
  const from = path.findLastIndex((step) => typeof step === 'string');
  if (from < 0) return '';
  const indexes = path.slice(from + 1).map((index) => `[${index}]`);
  return `${String(path[from])}${indexes.join('')}: `;
}

const isUnquoted = (value: unknown): boolean => typeof value === 'number' || typeof value === 'boolean';

function found(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return quoted(value);
  return typeof value === 'object' ? 'a map' : `${value as number | boolean}`;
}

function unknownKey(key: string, known: readonly string[], whose: string): string {
  if (key === '<<') return 'unknown key "<<": YAML 1.2 has no merge keys; see "defaults"';
  return `unknown key ${quoted(key)}${suggestion(key, known, `${whose} may have`)}`;
}
