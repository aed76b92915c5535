/** What the benchmark asks of a network in a process of its own (switch-process.ts), and what it answers. */
import type { NetworkDefinition } from '../definition/index.js';

export interface SwitchOrders {
  /** Opens the network and starts its guests. */
  open: {
    readonly ask: { readonly definition: NetworkDefinition; readonly runDirectory: string };
    /** The engine that runs. */
    readonly answer: string;
  };
  /** Holds under the flood of this sender, looks whether a frame is delivered after that, and releases; so many times. */
  hold: {
    readonly ask: { readonly count: number; readonly sender: number; readonly counters: string };
    readonly answer: readonly HoldSample[];
  };
  /** Keeps the main thread busy with JSON and files, or no longer. */
  busy: { readonly ask: { readonly on: boolean; readonly file: string }; readonly answer: undefined };
}

export interface HoldSample {
  /** Milliseconds from the request to the moment after which the switch has sent nothing. */
  readonly heldMs: number;
  /** To the answer at the caller. */
  readonly answeredMs: number;
  /** The hold lasted until it was looked at; else `after` says nothing. */
  readonly kept: boolean;
  /** Frames that the receiver's device counted after the answer; must be none. */
  readonly after: number;
  /** Frames that it counted between the hold before and this one. */
  readonly before: number;
}

export type OrderName = keyof SwitchOrders;

export type Order = {
  readonly [O in OrderName]: { readonly order: O; readonly ask: SwitchOrders[O]['ask'] };
}[OrderName];

export type Reply = { readonly answer: unknown } | { readonly error: string };

/** Frames that all Ethernet devices in the file (/proc/PID/net/dev, proc_pid_net(5)) have received. */
export const framesReceived = (text: string): number =>
  [...text.matchAll(/eth\d+:\s*\d+\s+(\d+)/g)].reduce((sum, [, frames]) => sum + Number(frames), 0);
