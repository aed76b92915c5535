/** An image without guests, for those who save the machines themselves. */
import { randomUUID } from 'node:crypto';
import { ImageDraft, removeCheckpoint } from '../image/index.js';
import type { Mark } from '../network/index.js';
import type { NetworkDefinition } from '../definition/index.js';
import { imageReport, type ImageReport } from './report.js';
import { writeImage } from './write-image.js';

/** @throws StillwireError HOLD_EXPIRED, HOLD_OVERFLOW when the mark's hold was lost; NAME_INVALID, CHECKPOINT_EXISTS, DIRECTORY_UNSAFE, COMMIT_FAILED */
export async function saveMark(
  definition: NetworkDefinition,
  mark: Mark,
  { name, directory }: { readonly name: string; readonly directory: string },
): Promise<ImageReport> {
  let draft: ImageDraft | undefined;
  try {
    mark.lost.throwIfAborted();
    draft = await ImageDraft.create(directory, name);
    const image = await writeImage(draft, {
      checkpointId: randomUUID(),
      definition,
      mark,
      guests: {},
      measured: { phases: {} },
    });
    if (mark.lost.aborted) {
      await removeCheckpoint(image.path);
      mark.lost.throwIfAborted();
    }
    return imageReport(name, mark, image);
  } catch (error) {
    await draft?.abandon();
    throw error;
  } finally {
    await mark.unpin();
  }
}
