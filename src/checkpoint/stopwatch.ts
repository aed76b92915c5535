/** Milliseconds by phase, for the report, the manifest and whoever listens. */
export class Stopwatch {
  readonly phases: Record<string, number> = {};
  readonly #onPhase: ((phase: string, ms: number) => void) | undefined;

  constructor(onPhase: ((phase: string, ms: number) => void) | undefined) {
    this.#onPhase = onPhase;
  }

  /** A phase somebody else has timed. */
  note(phase: string, ms: number): void {
    this.phases[phase] = ms;
    this.#onPhase?.(phase, ms);
  }

  /** Runs a phase; one that fails is not noted. */
  async timed<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await work();
    this.note(phase, performance.now() - began);
    return result;
  }
}
