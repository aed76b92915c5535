/**
 * What can be stopped, saved, resumed and restarted. Each kind of guest implements this; the compliance suite holds QEMU's
 * to it. One under DMTCP cannot be stopped outside a checkpoint of DMTCP's, so it has suites of its own (docs/dmtcp.md).
 */

/** A guest's run state as its hypervisor tells it; `running` and `paused` are the two a checkpoint restores. */
export type RunState = 'running' | 'paused' | 'ended' | (string & {});

/** What a restart must find again; stored in the manifest. */
export interface GuestIdentity {
  /** `qemu`: a migration stream. `dmtcp`: the image of a process. */
  readonly kind: string;
  /** QEMU's version, such as 7.2.22; DMTCP's for its images, which have QEMU itself in them. */
  readonly version: string;
  /** Resolved machine type, such as pc-q35-7.2; as the definition has it in an image of DMTCP's. */
  readonly machine: string;
  readonly cpu: string;
  readonly memory: number;
  /** sha256 by role: kernel, initrd. */
  readonly hashes: Readonly<Record<string, string>>;
}

/** A writable disk, as a fault to report. */
export interface WritableDisk {
  readonly device: string;
  readonly file: string;
}

export interface Guest {
  readonly name: string;
  /** Process id of the hypervisor; undefined once it has ended. */
  readonly pid: number | undefined;
  /** Resolves when the guest's process has ended, with its reason in words. Never rejects. */
  readonly ended: Promise<string>;
  runState(): Promise<RunState>;
  writableDisks(): Promise<WritableDisk[]>;
  identity(): Promise<GuestIdentity>;
  /**
   * Stops the guest's processors. Resolves when the hypervisor has confirmed it; the time is taken there.
   * @param signal whose abort ends it early, where it takes others to stop this one: it is to be resumed then
   * @returns whether they had been running
   */
  stop(signal?: AbortSignal): Promise<boolean>;
  /** Lets them run again, also after {@link save}. */
  resume(): Promise<void>;
  /**
   * Makes `file` ready to take the guest's state. Optional; worth doing outside a hold, for the save is quicker then.
   * @param signal whose abort ends it early, where it waits for others
   * @returns lets go of what was made ready if no save has come; the file is the caller's to remove
   */
  prepareSave(file: string, signal?: AbortSignal): Promise<() => void>;
  /**
   * Writes the guest's state (RAM and devices) to `file`, which it creates unless it was prepared. The guest is stopped. No fsync.
   * @param checkpointId of the checkpoint it is for: a kind whose states know whose they are writes it into them
   * @returns bytes written; 0 when they are written behind a guest that may run on, see {@link finishSave}
   */
  save(file: string, signal: AbortSignal, checkpointId?: string): Promise<number>;
  /** Waits until what {@link save} began is whole, while the guest runs on. Absent: it is whole when `save` resolves. */
  finishSave?(signal: AbortSignal): Promise<void>;
  /** Ends the process and waits until it is gone. */
  kill(): Promise<void>;
  /**
   * Aborts when the guest ends, or resets by itself, from now on: a checkpoint in progress must fail.
   * @returns a function that stops watching
   */
  watch(onLost: (reason: string) => void): () => void;
}
