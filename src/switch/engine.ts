/** What turns the switch: waits for frames, commands and time, and gives each its turn; commands go first. */
import type { Switch } from './switch.js';

/** What an engine turns. */
export type Turned = Pick<Switch, 'receive' | 'serve' | 'more' | 'isHasty'>;

export interface Engine {
  readonly name: string;
  /** Begins to serve port number `index`, whose descriptor this is. */
  watch(index: number, fd: number): void;
  unwatch(fd: number): void;
  /** One turn: waits until something is to be done and does it. Bounded work, so that the loop stays stoppable. */
  turn(): void;
  close(): void;
}
