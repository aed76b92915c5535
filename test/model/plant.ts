/**
 * Planted bugs: copies of the real modules with one step dropped or moved. The rooms they lie in are
 * copied whole, so that what is patched is what its neighbours import; imports of other rooms lead to the real ones. A patch whose text is
 * not found exactly once throws: whoever changes the code has to say again what the bug is.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCode, SOURCE, type Code } from './code.js';

export interface Patch {
  /** Below src. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
}

/** A room that the world reaches only through another: what is patched in it shows only where both are copied. */
const REACHED_THROUGH: Readonly<Record<string, string>> = { 'hold-queue': 'switch' };

function replaceOnce(text: string, { file, find, put }: Patch): string {
  const [before, after, ...more] = text.split(find);
  if (after !== undefined && more.length === 0) return `${before!}${put}${after}`;
  throw new Error(
    `a planted bug no longer fits ${file}: found ${text.split(find).length - 1} times, not once:\n${find}`,
  );
}

const edit = (file: string, change: (text: string) => string): void =>
  writeFileSync(file, change(readFileSync(file, 'utf8')));

/** Loads the code with the bug in it. @throws Error when the bug does not fit */
export async function plant(patches: readonly Patch[]): Promise<Code> {
  const rooms = new Set(
    patches.flatMap(({ file }) => {
      const room = file.split('/')[0]!;
      return [room, REACHED_THROUGH[room] ?? room];
    }),
  );
  const foreign = new RegExp(`from '\\.\\./(?!(?:${[...rooms].join('|')})/)(.*)\\.js'`, 'g');
  const root = mkdtempSync(join(tmpdir(), 'stillwire-planted-'));
  try {
    for (const room of rooms) cpSync(join(SOURCE, room), join(root, room), { recursive: true });
    for (const patch of patches) edit(join(root, patch.file), (text) => replaceOnce(text, patch));
    for (const room of rooms) {
      for (const name of readdirSync(join(root, room))) {
        edit(join(root, room, name), (text) => text.replace(foreign, `from '${SOURCE}$1.ts'`));
      }
    }
    return await loadCode((room) => (rooms.has(room) ? `${root}/` : SOURCE));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
