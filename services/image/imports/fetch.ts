import { DriverError } from '@cumulet/drivers';
import { openFetcher } from '@cumulet/fetch';
import type { Run } from '@cumulet/tasks';
import { Transform, type Readable } from 'node:stream';
import type { ImageRow } from '../images/store.ts';
import { callOf, type ImageTaskDeps } from '../images/tasks.ts';
import { room } from '../limits.ts';
import { TooMuch } from '../data/ingest.ts';
import type { ImportInput } from './input.ts';
import { openRemote } from './remote.ts';

/** How many times in a row a connection may break without a byte in between before the step itself is tried again later. */
const mostBreaks = 5;

/**
 * Downloads into the staging area. What has come is kept: after a broken connection, and after a restart of the worker, the download goes on where it was, if
 * the other side says that the resource is still the same. An answer that ends before its announced length is never taken for the whole.
 */
export async function download(t: Run<ImportInput, unknown, ImageTaskDeps>, row: ImageRow): Promise<void> {
  const { stores, settings, db } = t.deps;
  const call = callOf(t);
  const uploads = stores.staging.uploads;
  if (!uploads) throw new DriverError('unsupported', 'The staging area cannot take downloads.');
  if (await stores.staging.size(call, stores.staging.location(row.id)) !== undefined) return;      // finished before a crash
  const { url, headers, fetcher } = t.input.remote ? await openRemote(t, row, t.input.remote) : { url: t.input.uri as string, headers: {}, fetcher: openFetcher({ ...settings.image.fetch, idleTimeoutMs: settings.image.fetch.idleTimeoutSeconds * 1000 }) };
  const most = await room(db, settings, row.owner ?? '');
  const note = (validator: string | undefined) => t.transaction(trx => trx('images').where({ id: row.id }).update({ import_state: trx.raw(`import_state || ?::jsonb`, [JSON.stringify({ source: validator ?? null })]) }));
  let validator = (row.import_state as { source?: string | null } | null)?.source ?? undefined;
  try {
    for (let breaks = 0; ;) {
      let offset = await uploads.offset(call, row.id);
      if (offset > 0 && validator === undefined) { await uploads.discard(call, row.id); offset = 0; }
      const got = await fetcher.get(url, { signal: t.signal, offset, validator, headers });
      if (got.offset !== offset) { await uploads.discard(call, row.id); offset = 0; }
      if (got.total !== undefined && got.total > most) { got.body.destroy(); throw new TooMuch(); }
      if (got.validator !== validator) { validator = got.validator; await note(validator); }
      try {
        const end = await uploads.append({ ...call, progress: done => t.progress(offset + done, got.total ?? 0) }, row.id, offset, noMore(got.body, most - offset));
        if (got.total !== undefined && end !== got.total) throw new DriverError('transient', `The download ended after ${end} of ${got.total} bytes.`);
        await uploads.finish(call, row.id, got.total === undefined ? {} : { size: got.total });
        await t.transaction(trx => trx('images').where({ id: row.id }).update({ staged_size: end }));
        return;
      } catch (error) {
        t.signal.throwIfAborted();
        if (error instanceof TooMuch || (error instanceof DriverError && error.kind !== 'transient')) throw error;
        const now = await uploads.offset(call, row.id);
        breaks = now > offset ? 0 : breaks + 1;
        if (breaks > mostBreaks) throw new DriverError('transient', 'The download keeps breaking off.', { cause: error });
        t.log.info({ offset: now, err: error }, 'the download broke off; going on');
      }
    }
  } finally { await fetcher.close(); }
}

/** A stream that fails when there are more bytes than allowed. */
function noMore(body: Readable, most: number): Readable {
  let seen = 0;
  const bounded = new Transform({ highWaterMark: 262_144, transform(chunk: Buffer, _encoding, next) { seen += chunk.length; if (seen > most) next(new TooMuch()); else next(null, chunk); } });
  bounded.on('error', () => undefined).on('close', () => body.destroy());
  body.on('error', error => bounded.destroy(error));
  return body.pipe(bounded);
}
