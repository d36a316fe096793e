import { createLuks, isWrongKey, luksHeaderBytes, openImage, type ImageAccess } from '@cumulet/diskimage';
import { DriverError } from '../../errors.ts';
import { rangeOf, rangeReadable, sparseWritable } from '../../sparse.ts';
import type { Encryption, LuksKey } from '../contract.ts';
import type { Context } from './context.ts';
import { asDriverError, attempt } from './failure.ts';
import { makeVolume } from './volumes.ts';

/** Volumes that are LUKS containers, in raw files whatever the format of the others is: that is what guests' hypervisors open. */
export function fileEncryption(context: Context): Encryption {
  const { runner } = context;
  return {
    create: (call, spec, key) => makeVolume(context, call, { ...spec, luks: true }, 'The volume cannot be created', (unfinished, bytes) =>
      createLuks(runner, unfinished, bytes - luksHeaderBytes, { ...key, signal: call.signal })),
    data: (key) => ({
      read: (call, ref, range) => attempt('The volume cannot be read', call.signal, async () => {
        const access = await opened((await context.find(ref)).path, key, { readOnly: true, signal: call.signal });
        return rangeReadable(access, { ...rangeOf(range, access.size), signal: call.signal, fail: (error) => asDriverError(error, 'The volume cannot be read') });
      }),
      write: (call, volume, range) => attempt('The volume cannot be written', call.signal, async () => {
        const access = await opened((await context.find(volume)).path, key, { signal: call.signal });
        const failing = <A extends unknown[]>(work: (...args: A) => Promise<void>) => (...args: A) => work(...args).catch((error: unknown) => {
          throw asDriverError(error, 'The volume cannot be written');
        });
        const { offset } = rangeOf(range, access.size);
        return sparseWritable(
          { write: failing((bytes, at) => access.write(at, bytes)), zero: failing((at, length) => access.zero(at, length)), finish: failing(() => access.flush()), close: () => access.close() },
          { offset, limit: access.size, signal: call.signal, what: 'The volume cannot be written' },
        );
      }),
      zero: (call, volume, range) => attempt('The volume cannot be written', call.signal, async () => {
        const access = await opened((await context.find(volume)).path, key, { signal: call.signal });
        try {
          const { offset, length } = rangeOf(range, access.size);
          await access.zero(offset, length);
          await access.flush();
        } finally {
          await access.close();
        }
      }),
    }),
  };

  async function opened(path: string, { passphrase }: LuksKey, options: { readonly readOnly?: boolean; readonly signal: AbortSignal }): Promise<ImageAccess> {
    try {
      return await openImage(runner, { path, format: 'raw' }, { ...options, passphrase });
    } catch (error) {
      if (isWrongKey(error)) throw new DriverError('invalid', 'The key does not open the volume.', { cause: error });
      throw error;
    }
  }
}
