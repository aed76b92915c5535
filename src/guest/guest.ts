/** What can be stopped, saved, resumed and restarted. Each kind of guest implements this; the compliance suite holds it to it. */

/** A guest's run state as its hypervisor tells it; `running` and `paused` are the two a checkpoint restores. */
export type RunState = 'running' | 'paused' | 'ended' | (string & {});

/** What a restart must find again; stored in the manifest. */
export interface GuestIdentity {
  /** Such as `qemu`. */
  readonly kind: string;
  /** QEMU's version, such as 7.2.22. */
  readonly version: string;
  /** Resolved machine type, such as pc-q35-7.2. */
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
   * @returns whether they had been running
   */
  stop(): Promise<boolean>;
  /** Lets them run again, also after {@link save}. */
  resume(): Promise<void>;
  /**
   * Makes `file` ready to take the guest's state. Optional; worth doing outside a hold, for the save is quicker then.
   * @returns lets go of what was made ready if no save has come; the file is the caller's to remove
   */
  prepareSave(file: string): Promise<() => void>;
  /**
   * Writes the guest's state (RAM and devices) to `file`, which it creates unless it was prepared. The guest is stopped. No fsync.
   * @returns bytes written
   */
  save(file: string, signal: AbortSignal): Promise<number>;
  /** Ends the process and waits until it is gone. */
  kill(): Promise<void>;
  /**
   * Aborts when the guest ends, or resets by itself, from now on: a checkpoint in progress must fail.
   * @returns a function that stops watching
   */
  watch(onLost: (reason: string) => void): () => void;
}
