/** A manifest of any content: its shape judged, then what its parts say about one another; nothing else happens. */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { auditManifest, auditFrames } from '../../../src/image/audit.js';
import { definedPorts } from '../../../src/image/manifest.js';
import { manifestSchema, schemaFaults } from '../../../src/image/manifest-schema.js';
import { body, capture } from '../../pure/image-sample.js';
import { jsonEdits, spoilJson } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

const file = (path: string) => ({ path, bytes: 4, sha256: createHash('sha256').update(path).digest('hex') });
const SAMPLE = { ...body('one'), files: [file('inflight.pcapng'), file('guests/a/state.qemu')] };

export default target(() => ({
  inputs: fc.oneof({ weight: 9, arbitrary: jsonEdits }, { weight: 1, arbitrary: fc.json({ maxDepth: 6 }) }),
  check(input) {
    const value: unknown = typeof input === 'string' ? JSON.parse(input) : spoilJson(SAMPLE, input);
    const parsed = manifestSchema.safeParse(value);
    demandCleanPrototypes();
    if (!parsed.success) {
      if (schemaFaults(parsed.error).length === 0) wrong('refused without a reason');
      return;
    }
    const manifest = parsed.data;
    for (const fault of [...auditManifest(manifest), ...auditFrames(manifest, capture)]) {
      if (typeof fault !== 'string') wrong('a fault that is no sentence');
    }
    for (const { path } of manifest.files) {
      if (/(^|\/)\.\.?(\/|$)/.test(path) || path.startsWith('/')) wrong(`path ${path}`);
    }
    for (const port of definedPorts(manifest.definition).keys()) {
      if (!/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(port)) wrong(`port ${port}`);
    }
  },
}));
