/**
 * The one error of Stillwire. Every failure a caller can meet is a {@link StillwireError} with a stable `code` from
 * {@link ERRORS}; messages may change between versions, codes do not. The same table fills docs/errors.md.
 */

/** Exit codes of the command line; part of the interface. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  notFound: 4,
  conflict: 5,
  timedOut: 6,
  imageInvalid: 7,
  interrupted: 130,
} as const;
export type ExitName = keyof typeof EXIT;

interface ErrorEntry {
  /** Exit code of a command that fails with this error. */
  readonly exit: ExitName;
  /** What it means, in one sentence. */
  readonly meaning: string;
  /** What to do next, in one sentence. */
  readonly next: string;
}

const entry = (exit: ExitName, meaning: string, next: string): ErrorEntry => ({ exit, meaning, next });

/** Every code Stillwire can raise. */
export const ERRORS = {
  SYSCALL: entry(
    'failed',
    'A system call failed in a way Stillwire does not expect.',
    'Read the errno name in the message; `stillwire doctor` tells what this machine lacks.',
  ),
  NO_PRIVILEGE: entry(
    'failed',
    'A TAP, a device port or an external port needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN.',
    'Run as root, or give the network `transport: dgram`, which needs no privilege.',
  ),
  MISSING_PROGRAM: entry(
    'failed',
    'A program that Stillwire runs is not installed.',
    'Install the program the message names.',
  ),
  USAGE: entry('usage', 'The command line is wrong.', 'See `stillwire help`.'),
  FILE_INVALID: entry(
    'usage',
    'The network file is wrong; each fault has its line and column.',
    'Mend the named lines; nothing was created.',
  ),
  NAME_INVALID: entry(
    'usage',
    'A name has characters or a length that are not allowed.',
    'Use letters, digits, dot, dash and underscore, 1 to 64 of them, beginning with a letter or digit.',
  ),
  PATH_TOO_LONG: entry(
    'usage',
    'A unix socket path is longer than 107 bytes.',
    'Choose a shorter network name or run directory.',
  ),
  DAEMON_UNREACHABLE: entry(
    'unreachable',
    'No daemon answers for this network.',
    'Start it with `stillwire up`, which also takes up what a crash left; `stillwire down` removes that.',
  ),
  NETWORK_NOT_FOUND: entry(
    'notFound',
    'No running network has this name.',
    '`stillwire status` without -n lists what runs.',
  ),
  NETWORK_AMBIGUOUS: entry('usage', 'More than one network is running.', 'Choose one with -n.'),
  NETWORK_EXISTS: entry(
    'conflict',
    'A network of this name is running already.',
    'End it with `stillwire down`, or restart under another name with --as.',
  ),
  NETWORK_STALE: entry(
    'conflict',
    'A daemon of this network died and left things behind.',
    '`stillwire up FILE` takes a network up again whose guests live; `stillwire down -n NETWORK` ends and removes what is left.',
  ),
  DEVICE_EXISTS: entry(
    'conflict',
    'An interface that an external port needs on the host, or the socket of a dgram port, exists already.',
    'End the network it belongs to, or name another; a copy beside the original cannot have its external ports.',
  ),
  NETWORK_HELD: entry(
    'conflict',
    'The network is held; this cannot be done during a hold.',
    'Wait for the hold to end, or release it.',
  ),
  NETWORK_BUSY: entry('conflict', 'Another checkpoint is under way.', 'Wait for it to end.'),
  HOLD_EXPIRED: entry(
    'conflict',
    'The hold ended before this step: its lease ran out or it was aborted.',
    'Take the checkpoint again; renew the lease or ask for a longer one.',
  ),
  HOLD_UNKNOWN: entry('notFound', 'No hold has this token.', 'Take a hold first.'),
  HOLD_OVERFLOW: entry(
    'failed',
    'More frames arrived during the hold than the hold queue takes; the hold was ended and all were delivered.',
    'Take the checkpoint with less traffic, or make guests stop faster.',
  ),
  NOT_QUIET: entry(
    'timedOut',
    'The network did not fall quiet within the bound.',
    'Use --method count, which needs no quiet.',
  ),
  ADOPT_REFUSED: entry(
    'conflict',
    'A running QEMU or its TAP is of a kind that cannot be held, or that somebody else uses; it was left as it is.',
    'Change what the message names, then try again.',
  ),
  GUEST_NOT_RESTARTABLE: entry(
    'usage',
    'An adopted guest can be started again only by its owner, and the network file does not say how.',
    'Give the guest `adopt.restart`, or bring the network back with `stillwire restore` and load the guest yourself.',
  ),
  PORT_UNREADY: entry(
    'timedOut',
    'A guest takes no frames, so what was sent to it cannot be brought into it before the cut; nothing was changed.',
    'Wait until the named guests receive (booted, interface up, running), or keep what they have not read with --unready keep.',
  ),
  NOT_PROVEN: entry(
    'timedOut',
    'The cut could not be proven complete and --require-proof was given; nothing was changed.',
    'The message names the ports; see whether those guests can receive.',
  ),
  LEDGER_MISMATCH: entry(
    'failed',
    'Frames in and frames accounted for differ: a fault of Stillwire or of a device.',
    'Report it with the figures in the message.',
  ),
  GUEST_FAILED: entry(
    'failed',
    'A guest could not be started, stopped, saved or resumed.',
    "The message carries the hypervisor's words.",
  ),
  GUEST_DIED: entry(
    'failed',
    'A guest ended or reset in the middle of a checkpoint or restart.',
    'See the guest console and the log.',
  ),
  QMP_TIMEOUT: entry(
    'timedOut',
    'QEMU did not answer in time.',
    'See whether the process is stuck; the message names it.',
  ),
  QMP_ERROR: entry('failed', 'QEMU refused a command.', "The message carries QEMU's words."),
  DISK_NOT_SAVED: entry(
    'conflict',
    'A guest has a writable disk, which a checkpoint does not save yet.',
    'Make it readonly=on (snapshot=on is not enough), or say `disks: unmanaged` and keep the disks yourself.',
  ),
  DISKS_UNMANAGED: entry(
    'conflict',
    'The checkpoint was taken with disks Stillwire did not save.',
    'Put the disks into the state of the checkpoint and restart with --force-disks.',
  ),
  CHECKPOINT_NOT_FOUND: entry(
    'notFound',
    'No checkpoint has this name or path.',
    '`stillwire list` shows what is stored.',
  ),
  CHECKPOINT_EXISTS: entry(
    'conflict',
    'A checkpoint of this name is stored already.',
    'Choose another name or remove the old one.',
  ),
  CHECKPOINT_AMBIGUOUS: entry(
    'usage',
    'Several networks have a checkpoint of this name.',
    'Choose with -n, or give the path.',
  ),
  CHECKPOINT_COMPLETE: entry(
    'conflict',
    'The daemon of this network had died in the middle of a checkpoint with --kill, whose image is complete; its guests have been ended now, and nothing is left of it.',
    '`stillwire restart NAME` brings the checkpoint back; `stillwire up` once more boots the network anew.',
  ),
  COMMIT_FAILED: entry(
    'failed',
    'The image could not be made durable; no checkpoint was written.',
    'See the cause in the message (disk full, directory gone); the guests run on.',
  ),
  IMAGE_INVALID: entry(
    'imageInvalid',
    'The checkpoint is damaged, incomplete or mixed from several.',
    'Do not restart from it; `stillwire verify` lists every fault.',
  ),
  IMAGE_UNSUPPORTED: entry(
    'imageInvalid',
    'The checkpoint needs a format or feature this version does not know.',
    'Use the version of Stillwire that wrote it, or a newer one.',
  ),
  MACHINE_CHANGED: entry(
    'conflict',
    'What the guests need at restart differs from the checkpoint (QEMU version, kernel, initrd).',
    'Put the same version or file back; the message names both.',
  ),
  DIRECTORY_UNSAFE: entry(
    'failed',
    'A directory, or an image to restart from, can be changed by another user: it or one above it is his, or writable by everyone.',
    'chmod o-w and chown what the message names, or choose another.',
  ),
  OPERATION_UNKNOWN: entry(
    'notFound',
    'No operation has this id; only the last ones are remembered.',
    '`stillwire list` shows whether its checkpoint is stored.',
  ),
  TIMED_OUT: entry('timedOut', 'The command did not finish within --timeout.', 'Give it more time.'),
  INTERRUPTED: entry(
    'interrupted',
    'The command was interrupted; what it had begun was undone.',
    'Run it again.',
  ),
  INTERNAL: entry('failed', 'A fault of Stillwire itself.', 'Report it with the log.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** What an error is about; all optional, all plain data. */
export interface ErrorDetails {
  readonly guest?: string;
  readonly port?: string;
  readonly network?: string;
  /** Further figures or the list of faults. */
  readonly [key: string]: unknown;
}

/** An error with a stable code. `message` says what happened and to whom; {@link next} what to do. */
export class StillwireError extends Error {
  override readonly name = 'StillwireError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }

  /** What the user can do about it. */
  get next(): string {
    return ERRORS[this.code].next;
  }

  /** The exit code of a command that ends with this error. */
  get exitCode(): number {
    return EXIT[ERRORS[this.code].exit];
  }

  toJSON(): { code: ErrorCode; message: string; details: ErrorDetails; next: string } {
    return { code: this.code, message: this.message, details: this.details, next: this.next };
  }

  /** Rebuilds an error that crossed a socket or a thread as JSON. */
  static fromJSON(value: { code?: unknown; message?: unknown; details?: unknown }): StillwireError {
    const code =
      typeof value.code === 'string' && value.code in ERRORS ? (value.code as ErrorCode) : 'INTERNAL';
    const details = typeof value.details === 'object' && value.details !== null ? value.details : {};
    return new StillwireError(
      code,
      typeof value.message === 'string' ? value.message : 'unknown error',
      details as ErrorDetails,
    );
  }

  /** Any thrown value as a StillwireError; what is not one becomes INTERNAL with its message kept. */
  static from(error: unknown): StillwireError {
    if (error instanceof StillwireError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new StillwireError('INTERNAL', message, {}, error);
  }
}
