import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { renameBase } from '@cumulet/diskimage';
import type { Call } from '../../call.ts';
import { exists, fromErrno } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { fileTarget, runs } from '../../sparse.ts';
import type { ServerSpec, Travel } from '../contract.ts';
import { checkSpec } from '../validate.ts';
import type { Context } from './context.ts';
import type { Files } from './files.ts';

/** What makes a server, and nothing that belongs to the host. */
const travels = /^disk(\.eph\d{1,2}|\.swap|\.config)?$/;
const pieceBytes = 1 << 20;
const endOfStream = Buffer.alloc(4);

/*
 * The stream: for each file the length of a JSON header (u32), the header, then its data as pieces: offset (f64), length (u32), bytes; a piece of no
 * length ends the file, a header of no length the stream. Holes do not travel.
 */
function piece(at: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeDoubleBE(at, 0);
  head.writeUInt32BE(bytes.length, 8);
  return Buffer.concat([head, bytes]);
}

async function* pack(call: Call, folder: string, files: readonly { name: string; path: string }[]): AsyncGenerator<Buffer> {
  const sizes = await Promise.all(files.map(async (f) => (await stat(f.path)).size));
  const total = sizes.reduce((a, b) => a + b, 0);
  let done = 0;
  for (const [i, { name, path }] of files.entries()) {
    const size = sizes[i] ?? 0;
    const header = Buffer.from(JSON.stringify({ name, size }));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(header.length);
    yield Buffer.concat([length, header]);
    const file = await open(path, 'r');
    try {
      for (let at = 0; at < size;) {
        call.signal.throwIfAborted();
        const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, size - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) throw new DriverError('broken', 'A disk of the server became shorter while it was read.', { detail: folder });
        for (const run of runs(buffer.subarray(0, bytesRead), at)) if (!run.zero) yield piece(run.at, run.bytes);
        at += bytesRead;
        call.progress(done + at, total);
      }
    } finally {
      await file.close();
    }
    done += size;
    yield piece(size, Buffer.alloc(0));
  }
  yield endOfStream;
}

/** Reads exact numbers of bytes from a stream. */
class Exact {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);
  constructor(source: Readable) {
    this.#chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async take(length: number): Promise<Buffer> {
    const parts = [this.#held];
    let have = this.#held.length;
    while (have < length) {
      const { value, done } = await this.#chunks.next();
      if (done) throw new DriverError('transient', 'The other host stopped sending the disks of the server.');
      parts.push(value);
      have += value.length;
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts);
    this.#held = all.subarray(length);
    return all.subarray(0, length);
  }
}

async function unpack(call: Call, folder: string, source: Readable): Promise<void> {
  const from = new Exact(source);
  const refuse = (what: string) => new DriverError('broken', 'The other host sent something else than the disks of a server.', { detail: what });
  for (;;) {
    const length = (await from.take(4)).readUInt32BE();
    if (length === 0) return;
    if (length > 1_000) throw refuse(`a header of ${length} bytes`);
    const { name, size } = JSON.parse((await from.take(length)).toString()) as { name: unknown; size: unknown };
    if (typeof name !== 'string' || !travels.test(name) || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw refuse(`the file ${String(name)}`);
    const target = fileTarget(await open(join(folder, name), 'wx', 0o600), { fresh: true });
    try {
      for (;;) {
        call.signal.throwIfAborted();
        const head = await from.take(12);
        const [at, bytes] = [head.readDoubleBE(0), head.readUInt32BE(8)];
        if (bytes === 0) break;
        if (bytes > pieceBytes || !(at >= 0) || at + bytes > size) throw refuse(`${bytes} bytes at ${at} of ${size}`);
        await target.write(await from.take(bytes), at);
        call.progress(at + bytes, size);
      }
      await target.finish(size);
    } finally {
      await target.close();
    }
  }
}

export function createTravel(context: Context, files: Files): Travel {
  return {
    async send(call, id, { flat = false } = {}) {
      const folder = context.folder(id);
      const domain = await context.find(id);
      if (domain !== undefined && ['running', 'paused'].includes(await context.state(domain))) throw new DriverError('busy', 'The server is running.');
      if (!(await exists(folder))) throw new DriverError('absent', 'The server does not exist on this host.', { detail: id });
      const found = await ownFiles(folder);
      const disk = join(folder, 'disk');
      const flattened = join(folder, 'disk.flat');
      if (flat && found.includes('disk')) {
        await rm(flattened, { force: true });
        await files.flatten(call, { path: disk, format: 'qcow2' }, { path: flattened, format: 'qcow2' });
      }
      const stream = Readable.from(pack(call, folder, found.map((name) => ({ name, path: flat && name === 'disk' ? flattened : join(folder, name) }))), { objectMode: false, highWaterMark: pieceBytes });
      if (flat) stream.once('close', () => { rm(flattened, { force: true }).catch((error: unknown) => call.log.warn({ err: error, serverId: id }, 'a copy of a disk was left')); });
      return stream;
    },
    async receive(call, spec, from) {
      checkSpec(spec);
      const folder = context.folder(spec.id);
      if (await exists(folder)) return;
      const part = `${folder}.incoming`;
      await rm(part, { recursive: true, force: true });
      await mkdir(part, { recursive: true, mode: 0o711 });
      const source = await from();
      try {
        await unpack(call, part, source);
        await rebase(context, call, part, spec);
        await rename(part, folder);
      } catch (error) {
        await rm(part, { recursive: true, force: true });
        call.signal.throwIfAborted();
        throw fromErrno(error, 'The disks of the server could not be received');
      } finally {
        source.destroy();
      }
    },
  };

  async function ownFiles(folder: string): Promise<string[]> {
    const names = ['disk', 'disk.swap', 'disk.config', ...Array.from({ length: 100 }, (_, i) => `disk.eph${i}`)];
    const there = await Promise.all(names.map((name) => exists(join(folder, name))));
    return names.filter((_, i) => there[i]);
  }
  /** This host keeps the same base under a name of its own. */
  async function rebase(on: Context, call: Call, folder: string, spec: ServerSpec): Promise<void> {
    const disk = { path: join(folder, 'disk'), format: 'qcow2' } as const;
    if (spec.root.kind !== 'image' || spec.root.imageFormat === 'iso' || !(await exists(disk.path)) || !(await files.hasBase(call, disk))) return;
    await renameBase(on.runner, disk, { path: spec.root.imagePath, format: spec.root.imageFormat }, { signal: call.signal });
  }
}
