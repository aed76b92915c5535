/** Options of the command line. Each is also an environment variable, STILLWIRE_ and its long name in capitals. */
import { InvalidArgumentError, Option } from 'commander';
import {
  QUIESCE_METHODS,
  type DrainBounds,
  type QuiesceMethod,
  type UnreadyPolicy,
} from '../quiesce/index.js';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const LONGEST_MS = 7 * 24 * UNITS.h;
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/;

function milliseconds(text: string, fallback?: 'ms'): number {
  const [, figure, unit = fallback] = DURATION.exec(text) ?? [];
  if (figure === undefined || unit === undefined) {
    throw new InvalidArgumentError('A duration is a number and a unit: 500ms, 5s, 2m, 1h.');
  }
  const ms = Number(figure) * UNITS[unit as keyof typeof UNITS];
  if (ms < 1 || ms > LONGEST_MS) throw new InvalidArgumentError('A duration is from 1 ms to 7 days.');
  return ms;
}

/** `500ms`, `5s`, `2m`, `1h` in milliseconds. @throws InvalidArgumentError */
export const parseDuration = (text: string): number => milliseconds(text);

/** The same; a bare number is milliseconds. */
export const parseMilliseconds = (text: string): number => milliseconds(text, 'ms');

/** The environment variable of an option. */
const variableOf = (option: Option): string =>
  `STILLWIRE_${option.name().replaceAll('-', '_').toUpperCase()}`;

/** An option with its environment variable. */
export function option(flags: string, description: string, parse?: (text: string) => unknown): Option {
  const made = new Option(flags, description);
  if (parse !== undefined) made.argParser(parse);
  return made.env(variableOf(made));
}

const UNSET = new Set(['', '0', 'false', 'no', 'off']);

/**
 * Takes out of the environment every switch that says no, such as STILLWIRE_JSON=0: the parser looks only at whether
 * a variable is there.
 */
export function dropRefusals(options: readonly Option[], environment: NodeJS.ProcessEnv): void {
  for (const { envVar, required, optional } of options) {
    const value = envVar === undefined ? undefined : environment[envVar];
    const isSwitch = !required && !optional;
    if (value !== undefined && (value === '' || (isSwitch && UNSET.has(value.toLowerCase())))) {
      Reflect.deleteProperty(environment, envVar!);
    }
  }
}

export interface GlobalFlags {
  readonly network?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly verbose?: true;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly color: boolean;
  readonly state?: string;
}

export const globalOptions = (): Option[] => [
  option('-n, --network <name>', 'the network meant, when more than one runs'),
  option('--json', 'one JSON document on stdout (a line each for streams), errors as JSON on stderr'),
  option('--quiet', 'no progress on stderr'),
  option('--verbose', 'with an error: where in the program it arose'),
  option('--timeout <duration>', 'give up, and undo, after this long: 500ms, 5s, 2m, 1h', parseDuration),
  option('--no-color', 'no colours on a terminal (also NO_COLOR)'),
  option('--state <dir>', 'where checkpoints are kept; /var/lib/stillwire for root'),
];

/** How the network is to be quiesced; for checkpoint and hold. */
export interface QuiesceFlags {
  readonly method?: QuiesceMethod;
  readonly unready?: UnreadyPolicy;
  readonly drain?: number;
  readonly quietWait?: number;
}

export const quiesceOptions = (): Option[] => [
  option(
    '--method <method>',
    'auto: for each port the strongest proof there is (default); count: kernel counters; cookie: the guests answer a marker; quiet: wait, prove nothing',
  ).choices(QUIESCE_METHODS),
  option(
    '--unready <policy>',
    'a guest that takes no frames: fail, with nothing changed (default); keep what it has not read, unproven',
  ).choices(['fail', 'keep']),
  option('--drain <ms>', 'how long to wait for slow guests (default 100)', parseMilliseconds),
  option('--quiet-wait <ms>', 'quiet: how long nothing may have moved (default 50)', parseMilliseconds),
];

/** Those flags as the daemon takes them. */
export function quiesceOf({ method, unready, drain, quietWait }: QuiesceFlags): {
  method?: QuiesceMethod;
  unready?: UnreadyPolicy;
  bounds?: Partial<DrainBounds>;
} {
  const bounds = {
    ...(drain !== undefined && { drainMs: drain }),
    ...(quietWait !== undefined && { quietMs: quietWait }),
  };
  return {
    ...(method !== undefined && { method }),
    ...(unready !== undefined && { unready }),
    ...(Object.keys(bounds).length > 0 && { bounds }),
  };
}
