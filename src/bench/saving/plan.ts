/** What of saving is compared: who saves, and how many guests. */
import { StillwireError } from '../../errors/index.js';
import { guestImage } from '../../demo/traffic-network.js';
import { findProgram } from '../program.js';

export const GUEST_COUNTS = [1, 2, 4] as const;

/** Who saves the guests, and how. */
export interface Saver {
  readonly name: string;
  readonly kind: 'alone' | 'dmtcp' | 'qemu';
  /** Images are compressed. */
  readonly gzip?: boolean;
  /** Takes a DMTCP built with forked checkpointing, which then forks at every checkpoint. */
  readonly forked?: boolean;
}

export const SAVERS: readonly Saver[] = [
  { name: 'DMTCP alone, gzip', kind: 'alone', gzip: true },
  { name: 'DMTCP alone, no gzip', kind: 'alone' },
  { name: 'DMTCP + Stillwire', kind: 'dmtcp' },
  { name: 'DMTCP forked + Stillwire', kind: 'dmtcp', forked: true },
  { name: "Stillwire, QEMU's own saving", kind: 'qemu' },
];

/** Which DMTCP a saver runs with: a value of PATH. */
export type Paths = ReadonlyMap<Saver, string>;

export interface NotRun {
  readonly name: string;
  readonly why: string;
}

/** What the machine has of DMTCP: on PATH, and where a build with forked checkpointing was said to be. */
export interface FoundDmtcp {
  /** The version on PATH; undefined: there is none. */
  readonly version: string | undefined;
  readonly forks: boolean;
  /** Directory of another build, if it does fork. */
  readonly other: { readonly directory: string; readonly forks: boolean } | undefined;
}

/** Decides who is measured, on which PATH; and says of the others why not. */
export function choose(
  { version, forks, other }: FoundDmtcp,
  path: string,
): { readonly paths: Paths; readonly notRun: readonly NotRun[] } {
  const paths = new Map<Saver, string>();
  const notRun: NotRun[] = [];
  for (const saver of SAVERS) {
    const { name } = saver;
    if (saver.kind === 'qemu') paths.set(saver, path);
    else if (saver.forked === true) {
      if (version !== undefined && forks) paths.set(saver, path);
      else if (other?.forks === true) paths.set(saver, `${other.directory}:${path}`);
      else notRun.push({ name, why: whyNotForked(version, other) });
    } else if (version === undefined) notRun.push({ name, why: 'dmtcp_launch is not on PATH' });
    else if (forks) notRun.push({ name, why: 'the DMTCP on PATH forks at every checkpoint' });
    else paths.set(saver, path);
  }
  return { paths, notRun };
}

function whyNotForked(version: string | undefined, other: FoundDmtcp['other']): string {
  if (other !== undefined) return 'the DMTCP of --forked-dmtcp was built without forked checkpointing';
  if (version === undefined) return 'dmtcp_launch is not on PATH';
  return `DMTCP ${version} was built without forked checkpointing; another may be named by --forked-dmtcp`;
}

/** Why nothing of it can be measured here. */
export async function whyNothing(): Promise<string | undefined> {
  if ((await findProgram('qemu-system-x86_64')) === undefined) return 'QEMU is not installed';
  if ((await findProgram('cpio')) === undefined) return 'cpio is not installed';
  try {
    guestImage();
    return undefined;
  } catch (error) {
    return StillwireError.from(error).message;
  }
}
