/** What names may look like, and which name was probably meant. */

/** Networks, segments, guests, NICs and ports: they become file names and words on a command line. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const NAME_RULE =
  'letters, digits, ".", "_" and "-", 1 to 64 of them, beginning with a letter or digit';

/** A network's name is part of socket paths (at most 107 bytes) and namespace names. */
export const MAX_NETWORK_NAME = 32;

/** IFNAMSIZ less its NUL (linux/if.h). */
const MAX_DEVICE_BYTES = 15;

/**
 * Why the kernel would not take this name for a network device, or undefined.
 * dev_valid_name() in net/core/dev.c; "%" it would read as a template (`tap%d`), and every namespace has its "lo".
 */
export function deviceNameFault(name: string): string | undefined {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0) return 'is empty';
  if (bytes > MAX_DEVICE_BYTES) return `has ${bytes} bytes; the kernel takes ${MAX_DEVICE_BYTES}`;
  if (name === '.' || name === '..' || name === 'lo') return 'is reserved';
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  if (/[\s/:%\u0000-\u001f\u007f]/.test(name))
    return 'must not have spaces, control characters, "/", ":" or "%"';
  return undefined;
}

/** The candidate that `word` was probably meant to be: at most a third of it mistyped. Undefined when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > 64) return undefined;
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const far = distance(word.toLowerCase(), candidate.toLowerCase());
    if (far < least) [best, least] = [candidate, far];
  }
  return best;
}

/** Optimal string alignment distance: letters missing, too many, wrong, or two neighbours swapped. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const wrong = a[i - 1] === b[j - 1] ? 0 : 1;
      let steps = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + wrong);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        steps = Math.min(steps, before[j - 2]! + 1);
      row.push(steps);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}

/** `; did you mean "lan"?`, or else what there is to choose from. Bounded, whatever the file holds. */
export function suggestion(word: string, candidates: readonly string[], otherwise: string): string {
  const near = nearest(word, candidates.slice(0, 500));
  if (near !== undefined) return `; did you mean "${near}"?`;
  const more = candidates.length > 20 ? ', …' : '';
  return candidates.length === 0 ? '' : `; ${otherwise}: ${candidates.slice(0, 20).join(', ')}${more}`;
}
