import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * A file of the web, fetched once and kept in the cache by its URL. It is there whole or not at all. `progress` is told bytes done and in
 * total (0 when the server does not say).
 */
export async function download(url: string, cache: string, signal: AbortSignal, progress: (done: number, total: number) => void): Promise<string> {
  const file = join(cache, `download-${createHash('sha256').update(url).digest('hex').slice(0, 16)}`);
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  const partial = `${file}.${randomBytes(4).toString('hex')}`;
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`);
    const total = Number(response.headers.get('content-length') ?? 0);
    let done = 0;
    const count = async function* (pieces: AsyncIterable<Uint8Array>) {
      for await (const piece of pieces) {
        done += piece.length;
        progress(done, total);
        yield piece;
      }
    };
    await pipeline(Readable.fromWeb(response.body), count, createWriteStream(partial), { signal });
    renameSync(partial, file);
    return file;
  } finally {
    rmSync(partial, { force: true });
  }
}
