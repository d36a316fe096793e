import { assertSafe, convert, inspectFile, UnsafeImage, type DiskFormat, type Found } from '@cumulet/diskimage';
import { DriverError } from '@cumulet/drivers';
import type { Run } from '@cumulet/tasks';
import { createGunzip } from 'node:zlib';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { judge, TooMuch } from '../data/ingest.ts';
import type { ImageRow } from '../images/store.ts';
import { callOf, type ImageTaskDeps } from '../images/tasks.ts';
import { room } from '../limits.ts';
import type { ImportInput } from './input.ts';
import { Transform } from 'node:stream';

/** What the staged bytes are, and where they are when something was made of them. */
export interface Prepared {
  readonly diskFormat: string;
  readonly containerFormat: string;
  /** Location in the staging area; absent: the staged bytes themselves. */
  readonly location?: string;
}
type Step = Run<ImportInput, unknown, ImageTaskDeps>;

const folder = (t: Pick<Step, 'deps'>) => join(t.deps.stores.staging.localPath?.(t.deps.stores.staging.location('x')) ?? '', '..');
const unpackedName = (id: string) => `${id}.unpacked`;
const convertedName = (id: string) => `${id}.converted`;
const convertible = new Set(['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'iso']);

/** The site's plugins, in upstream's order: unpack, then convert. Content is judged before any tool opens it. Repeats: it begins anew. */
export async function prepare(t: Step, row: ImageRow): Promise<Prepared> {
  let found: Prepared = { diskFormat: row.disk_format as string, containerFormat: row.container_format as string };
  if (t.input.method === 'copy-image') return found;
  const { staging } = t.deps.stores;
  const { decompress, convertTo } = t.deps.settings.image.import;
  const staged = staging.localPath?.(staging.location(row.id));
  if (staged === undefined) return found;
  await dropPrepared(t);
  let path = staged;
  const most = await room(t.deps.db, t.deps.settings, row.owner ?? '');
  if (decompress && await isGzip(staged)) {
    path = join(folder(t), unpackedName(row.id));
    const unpacked = createReadStream(staged, { signal: t.signal }).pipe(createGunzip()).pipe(bounded(most));
    await staging.put(callOf(t), unpackedName(row.id), unpacked);
    found = { ...found, location: pathToFileURL(path).href, containerFormat: found.containerFormat === 'compressed' ? 'bare' : found.containerFormat };
  }
  if (convertTo === undefined || found.containerFormat !== 'bare' || found.diskFormat === convertTo || !convertible.has(found.diskFormat)) return found;
  const seen: Found = await inspectFile(path);
  try { judge(seen, { format: { disk: found.diskFormat, container: 'bare' } }); assertSafe(seen, found.diskFormat, { maxVirtualSize: Math.min(most, 64 * 2 ** 40) }); } catch (error) {
    if (error instanceof UnsafeImage) throw new DriverError('invalid', error.message);
    throw error;
  }
  const to = join(folder(t), convertedName(row.id));
  await convert(t.deps.runner, { from: { path, format: found.diskFormat as DiskFormat, maxVirtualSize: Math.min(most, 64 * 2 ** 40) }, to: { path: to, format: convertTo }, signal: t.signal, progress: (done, total) => t.progress(done, total) });
  return { diskFormat: convertTo, containerFormat: 'bare', location: pathToFileURL(to).href };
}

/** Removes what was made of the staged bytes. */
export async function dropPrepared(t: Step): Promise<void> {
  if (t.input.method === 'copy-image') return;
  for (const name of [unpackedName(t.input.imageId), convertedName(t.input.imageId)]) await rm(join(folder(t), name), { force: true });
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.readUInt16BE(0) === 0x1f8b;
  } finally { await file.close(); }
}
function bounded(most: number): Transform {
  let seen = 0;
  return new Transform({ transform(chunk: Buffer, _encoding, next) { seen += chunk.length; if (seen > most) next(new TooMuch()); else next(null, chunk); } });
}
