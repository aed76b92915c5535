/** `verify`: every fault of a stored checkpoint. */
import { verifyImage, type VerifyReport } from '../image/index.js';
import { ERRORS, EXIT } from '../errors/index.js';
import { defineCommand } from './command.js';
import { bytes, counted } from './format.js';
import { find } from './places.js';

const isSound = ({ faults, unsupported }: VerifyReport): boolean =>
  faults.length === 0 && unsupported.length === 0;

export function describeVerify(report: VerifyReport): string {
  const { path, faults, unsupported, proven, inFlightFrames = 0, manifest } = report;
  if (faults.length > 0) {
    return [
      `${path} is damaged: ${counted(faults.length, 'fault')}`,
      ...faults.map((each) => `  ${each}`),
    ].join('\n');
  }
  if (unsupported.length > 0) {
    return `${path} is of another version: ${unsupported.join(', ')}\n  ${ERRORS.IMAGE_UNSUPPORTED.next}`;
  }
  const files = (manifest?.files.length ?? 0) + 2;
  return `${path} is sound: ${counted(files, 'file')}, ${bytes(report.bytes)}, ${counted(inFlightFrames, 'frame')} in flight, ${proven ? 'proven' : 'not proven'} by its evidence`;
}

export const verify = defineCommand({
  usage: 'verify <checkpoint>',
  group: 'checkpoint',
  summary: 'read every byte and tell every fault; exit code 7 when there is one',
  description: `Reads every file and compares its hash, holds the manifest against itself, judges \`proven\` anew from the stored
evidence and counts the frames again.`,
  async run(session, [name = '']) {
    const { path } = await find(session, name);
    const report = await verifyImage(path);
    const { faults, unsupported, proven, inFlightFrames, bytes: size } = report;
    const ok = isSound(report);
    await session.document({ path, ok, faults, unsupported, proven, inFlightFrames, bytes: size }, () =>
      describeVerify(report),
    );
    return ok ? EXIT.ok : EXIT.imageInvalid;
  },
});
