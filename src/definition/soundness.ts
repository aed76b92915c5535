/**
 * What the `yaml` package leaves open about a text that may be anything:
 * - it composes by recursion, and V8 ends the process when the stack runs out inside a regular expression: nesting is
 *   bounded first, on the token stream, which does not recurse;
 * - aliases: at most MAX_ALIASES, none that stands for something with an alias in it, so that a small file cannot
 *   stand for a huge one, nor for one without end;
 * - duplicate keys: the package compares all pairs of a map, and does not tell where the first one is.
 */
import { isAlias, isScalar, Lexer, LineCounter, Parser, visit } from 'yaml';
import type { Alias, Document, Node, Pair, ParsedNode } from 'yaml';
import { quoted } from './faults.js';
import type { FaultList, Position } from './faults.js';

/** A network file needs 6 levels; the parser's stack has about one entry per level. */
const MAX_DEPTH = 40;
const MAX_ALIASES = 100;

export type At = (offset: number) => Position;

/** With `stringKeys` every key is a string scalar; a missing one (`: x`) is the empty string. */
export const keyOf = ({ key }: Pair): string =>
  isScalar(key) && typeof key.value === 'string' ? key.value : '';

/** The lines of a text. Not counted by the parser: it misses line feeds inside of what it cannot parse. */
export function countLines(text: string): LineCounter {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) lines.addNewLine(i + 1);
  return lines;
}

export function place(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

/** Where the text is nested beyond what can be composed safely; undefined when it is not. */
export function tooDeep(text: string): number | undefined {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    Array.from(parser.next(lexeme));
    if (parser.stack.length > MAX_DEPTH) return parser.offset - lexeme.length;
  }
  return undefined;
}

/** What each alias stands for; undefined when one is not allowed. */
export function resolveAliases(
  document: Document<ParsedNode>,
  at: At,
  faults: FaultList,
): Map<Alias, Node> | undefined {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  const withAlias = new Set<unknown>();
  let count = 0;
  let refused = 0;
  const refuse = (alias: Alias, why: string): void => {
    refused++;
    faults.add(at(alias.range?.[0] ?? 0), `alias *${alias.source}: ${why}`);
  };
  visit(document, {
    Node(_key, node, path) {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node);
        return undefined;
      }
      for (const ancestor of path) withAlias.add(ancestor);
      const target = anchors.get(node.source);
      if (++count > MAX_ALIASES) refuse(node, `more than ${MAX_ALIASES} aliases`);
      else if (target === undefined) refuse(node, 'no such anchor before it');
      else if (path.includes(target)) refuse(node, 'it stands inside of what it stands for');
      else if (withAlias.has(target))
        refuse(node, 'what it stands for has an alias in it; aliases do not nest');
      else targets.set(node, target);
      return count > MAX_ALIASES ? visit.BREAK : undefined;
    },
  });
  return refused === 0 ? targets : undefined;
}

/** Tells every key that a map has twice, with the line of the first. */
export function findDuplicateKeys(document: Document<ParsedNode>, at: At, faults: FaultList): void {
  visit(document, {
    Map(_key, map) {
      const first = new Map<string, Position>();
      for (const pair of map.items) {
        const key = keyOf(pair);
        const here = at((pair.key as Node | null)?.range?.[0] ?? 0);
        const before = first.get(key);
        if (before === undefined) first.set(key, here);
        else faults.add(here, `key ${quoted(key)} is given twice; first on line ${before.line}`);
      }
    },
  });
}
