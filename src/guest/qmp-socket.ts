/** Where a guest's QMP socket is: where we had QEMU make it, or where an adopted guest's owner did. */
import { join } from 'node:path';
import { isAdopted, type GuestDefinition } from '../definition/definition.js';

export function qmpSocketOf(
  name: string,
  definition: GuestDefinition | undefined,
  runDirectory: string,
): string {
  if (definition !== undefined && isAdopted(definition)) return definition.adopt.qmp;
  return join(runDirectory, `${name}.qmp`);
}
