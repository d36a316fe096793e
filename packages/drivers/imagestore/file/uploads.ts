import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { checkName, exists, guarded, publish, remove } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { fileReadable, fileTarget, sparseWritable } from '../../sparse.ts';
import type { ResumableUploads, Stored } from '../contract.ts';
import { pour } from '../streams.ts';

interface Place {
  readonly root: string;
  pathOf(imageId: string): string;
  stored(imageId: string, size: number): Stored;
}

const WHAT = 'The upload cannot be stored';

/** One file per upload in `.parts`; its length is the offset. */
export function fileUploads({ root, pathOf, stored }: Place): ResumableUploads {
  /** Uploads that this process writes. Two processes are kept apart by the offset, and by who owns the image's row. */
  const writing = new Set<string>();
  const partOf = (imageId: string) => join(root, '.parts', checkName(imageId));
  const reached = async (imageId: string) => {
    const part = partOf(imageId);
    return (await exists(part)) ? (await stat(part)).size : 0;
  };

  return {
    offset: (call, imageId) => guarded(WHAT, call.signal, () => reached(imageId)),

    async append(call, imageId, offset, body) {
      const part = partOf(imageId);
      if (writing.has(imageId)) throw busy();
      writing.add(imageId);
      try {
        return await guarded(WHAT, call.signal, async () => {
          const at = await reached(imageId);
          if (offset !== at) throw new DriverError('invalid', `The upload goes on at byte ${at}, not ${offset}.`);
          const file = await open(part, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o640);
          let end = at;
          const target = fileTarget(file, { fresh: true });
          const keep = async () => {
            await file.truncate(end);
            await file.sync();
          };
          const sink = sparseWritable({
            ...target,
            write: async (bytes, place) => {
              await target.write(bytes, place);
              end = place + bytes.length;
            },
            zero: async (place, length) => { end = place + length; },
            finish: keep,
            // Also when the stream broke: what came is kept.
            close: () => keep().finally(() => file.close()),
          }, { offset: at, limit: Number.MAX_SAFE_INTEGER, signal: call.signal, what: WHAT, progress: (reached) => call.progress(reached, 0) });
          await pour(body, sink);
          return end;
        });
      } catch (error) {
        const own = call.signal.aborted ? undefined : body.errored;
        body.destroy();
        throw own ?? error;
      } finally {
        writing.delete(imageId);
      }
    },

    read: (call, imageId) => guarded(WHAT, call.signal, async () => {
      const file = await open(partOf(imageId), 'r');
      const { size } = await file.stat();
      return fileReadable(file, { offset: 0, length: size }, call.signal, WHAT);
    }),

    finish: (call, imageId, { size } = {}) => guarded(WHAT, call.signal, async () => {
      const path = pathOf(imageId);
      if (writing.has(imageId)) throw busy();
      const part = partOf(imageId);
      const begun = await exists(part);
      const at = (await stat(begun ? part : path)).size;
      if (size !== undefined && at !== size) throw new DriverError('invalid', `The image has ${at} bytes where ${size} were announced.`);
      if (begun) await publish(part, path);
      return stored(imageId, at);
    }),

    discard: (call, imageId) => guarded(WHAT, call.signal, async () => {
      if (writing.has(imageId)) throw busy();
      await remove(partOf(imageId));
    }),
  };
}

const busy = () => new DriverError('busy', 'The image is being uploaded already.');
