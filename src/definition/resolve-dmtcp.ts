/** The key `dmtcp` of a guest, and what a guest that has it cannot have. */
import type { DmtcpSettings } from './definition.js';
import { dmtcpShape, refusedUnderDmtcp } from './schema.js';
import { present, type Scope } from './scope.js';
import type { Path } from './source.js';

/** What else of the guest matters. */
interface Rest {
  readonly console: string | undefined;
  readonly args: readonly string[];
}

/**
 * Reads it; undefined when a fault makes it incomplete.
 * @param where - the path of a key of the guest's, or of the defaults it comes from
 */
export function readDmtcp(
  scope: Scope,
  where: (key: 'dmtcp' | 'console' | 'args') => Path,
  { console, args }: Rest,
): DmtcpSettings | undefined {
  const path = where('dmtcp');
  const { given, complete } = scope.reader.map(path, dmtcpShape, 'dmtcp');
  const { coordinator, netns, kvmPlugin, plugins = [], gzip, forked, unreachable } = given;
  if (console !== undefined) {
    const why = 'a stream socket to a process outside makes DMTCP wait for ever; use consoleLog';
    scope.fault(where('console'), `console: not possible under DMTCP: ${why}`);
  }
  const refused = refusedUnderDmtcp(args);
  if (refused !== undefined) scope.fault([...where('args'), refused.index], `args: ${refused.why}`);
  if (netns !== undefined && coordinator === undefined) {
    scope.fault(
      path,
      'dmtcp: in a namespace of its own a guest needs a coordinator that it reaches from there',
    );
  }
  const all = [...(kvmPlugin === undefined ? [] : [kvmPlugin]), ...plugins].map((file) =>
    scope.absolute(file),
  );
  for (const file of all) {
    if (!scope.surroundings.isFile(file)) scope.fault(path, `dmtcp: no readable file ${file}`);
    else if (file.includes(':'))
      scope.fault(path, `dmtcp: DMTCP takes no plugin with a colon in its path: ${file}`);
  }
  if (complete === undefined) return undefined;
  return {
    ...present({ coordinator, netns }),
    plugins: all,
    gzip: gzip ?? false,
    forked: forked ?? false,
    unreachable: unreachable ?? 'go',
  };
}
