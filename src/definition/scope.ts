/** What is known while the entries of a network file are read, and the rules that span entries. */
import { resolve } from 'node:path';
import type { FaultList, Position } from './faults.js';
import { quoted } from './faults.js';
import { suggestion } from './names.js';
import type { Reader } from './reader.js';
import type { Path, Source } from './source.js';
import type { Surroundings } from './surroundings.js';

export class Scope {
  private readonly holders = new Map<string, { readonly who: string; readonly at: Position }>();

  /**
   * @param directory - of the file, absolute; its relative paths start here
   * @param segments - names of all segments, sound or not
   */
  constructor(
    readonly reader: Reader,
    readonly surroundings: Surroundings,
    private readonly directory: string,
    private readonly segments: readonly string[],
  ) {}

  get source(): Source {
    return this.reader.source;
  }

  get faults(): FaultList {
    return this.reader.faults;
  }

  /** Tells a fault at the value of a path. */
  fault(path: Path, message: string): void {
    this.faults.add(this.source.at(path), message);
  }

  absolute(path: string): string {
    return resolve(this.directory, path);
  }

  /** A port's segment must be one of the file's. */
  checkSegment(path: Path, name: string): void {
    if (this.segments.includes(name)) return;
    this.fault(path, `no segment ${quoted(name)}${suggestion(name, this.segments, 'there are')}`);
  }

  /**
   * Takes something that no two entries may have: a MAC, a device name, a console.
   * @param kind - what kind of thing it is; the same value of two kinds is two things
   * @param words - names the thing in the fault
   */
  claim(path: Path, kind: string, value: string, words: string, who: string): void {
    const at = this.source.at(path);
    const holder = this.holders.get(`${kind}\0${value}`);
    if (holder === undefined) this.holders.set(`${kind}\0${value}`, { who, at });
    else this.faults.add(at, `${words} is that of ${holder.who} too, on line ${holder.at.line}`);
  }
}

/** The entries that are not undefined: optional keys of a definition are there or absent. */
export function present<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof present<T>
  >;
}
