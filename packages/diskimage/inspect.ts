import { open } from 'node:fs/promises';
import { Transform } from 'node:stream';
import type { Found, FoundFormat } from './contract.ts';
import { DETAIL_SIZE, HEAD_SIZE, TAIL_SIZE, type Format, type Parts } from './formats/format.ts';
import { iso, luks, parallels, partitionTable, qed } from './formats/plain.ts';
import { qcow2 } from './formats/qcow2.ts';
import { vdi } from './formats/vdi.ts';
import { vhd } from './formats/vhd.ts';
import { vhdx } from './formats/vhdx.ts';
import { vmdk } from './formats/vmdk.ts';

const FORMATS: readonly Format[] = [qcow2, vmdk, vhdx, vhd, vdi, qed, luks, parallels, iso];

/** Watches an image pass by, in whatever pieces, and keeps less than 0.5 MiB of it. */
export interface Inspector {
  see(chunk: Uint8Array): void;
  /** Formats whose signature is at the front, once that has passed; an upload can be refused here, before it costs a disk. */
  readonly early: readonly FoundFormat[] | undefined;
  /** After the last byte. */
  finish(): Found;
}

export function createInspector(): Inspector {
  const head = Buffer.alloc(HEAD_SIZE);
  let headLength = 0;
  let tail: Buffer = Buffer.alloc(0);
  let size = 0;
  let early: FoundFormat[] | undefined;
  let detailAt: number | undefined;
  let detail = Buffer.alloc(0);

  function keepDetail(bytes: Buffer, at: number): void {
    if (detailAt === undefined) return;
    const wanted = detailAt + detail.length;
    const from = wanted - at;
    if (from < 0 || from >= bytes.length || detail.length >= DETAIL_SIZE) return;
    detail = Buffer.concat([detail, bytes.subarray(from, from + DETAIL_SIZE - detail.length)]);
  }

  function headComplete(): void {
    const front = { head: head.subarray(0, headLength), tail: Buffer.alloc(0) };
    const matching = FORMATS.filter((format) => format.matches(front));
    early = matching.map((format) => format.name);
    for (const format of matching) detailAt ??= format.detailAt?.(front.head);
    // The region lies behind the head in every well-made image; one that does not is left unread and so refused.
    if (detailAt !== undefined && detailAt < HEAD_SIZE) detailAt = undefined;
  }

  return {
    get early() { return early; },
    see(chunk) {
      let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let at = size;
      size += bytes.length;
      tail = bytes.length >= TAIL_SIZE ? Buffer.from(bytes.subarray(-TAIL_SIZE)) : Buffer.concat([tail, bytes]).subarray(-TAIL_SIZE);
      if (headLength < HEAD_SIZE) {
        const taken = bytes.copy(head, headLength, 0, HEAD_SIZE - headLength);
        headLength += taken;
        bytes = bytes.subarray(taken);
        at += taken;
        if (headLength === HEAD_SIZE) headComplete();
      }
      if (bytes.length > 0) keepDetail(bytes, at);
    },
    finish() {
      if (!early) headComplete();
      return judge({ head: head.subarray(0, headLength), tail, size, detail: detailAt === undefined ? undefined : { offset: detailAt, bytes: detail } });
    },
  };
}

/** A stream that passes everything through; `found` is set once the end has passed. */
export interface InspectStream extends Transform {
  readonly found: Found | undefined;
  readonly early: readonly FoundFormat[] | undefined;
}

export function inspectStream(): InspectStream {
  const inspector = createInspector();
  let found: Found | undefined;
  const stream = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      inspector.see(chunk);
      done(null, chunk);
    },
    flush(done) {
      found = inspector.finish();
      done();
    },
  });
  return Object.defineProperties(stream, {
    found: { get: () => found },
    early: { get: () => inspector.early },
  }) as InspectStream;
}

/** Reads the header regions only, whatever the size of the file (or block device). */
export async function inspectFile(path: string): Promise<Found> {
  const file = await open(path, 'r');
  try {
    const size = await sizeOfFile(file);
    const read = async (offset: number, length: number) => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    };
    const head = await read(0, HEAD_SIZE);
    const tail = await read(Math.max(0, size - TAIL_SIZE), TAIL_SIZE);
    const at = FORMATS.find((format) => format.detailAt && format.matches({ head, tail }))?.detailAt?.(head);
    const detail = at === undefined || at < HEAD_SIZE ? undefined : { offset: at, bytes: await read(at, DETAIL_SIZE) };
    return judge({ head, tail, size, detail });
  } finally {
    await file.close();
  }
}

/** A block device has no size of its own in stat; its end is found by halving. */
async function sizeOfFile(file: Awaited<ReturnType<typeof open>>): Promise<number> {
  const stat = await file.stat();
  if (!stat.isBlockDevice()) return stat.size;
  const probe = Buffer.alloc(1);
  let low = 0;
  let high = 2 ** 52;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { bytesRead } = await file.read(probe, 0, 1, middle);
    if (bytesRead === 1) low = middle + 1;
    else high = middle;
  }
  return low;
}

function judge(parts: Parts): Found {
  const matching = FORMATS.filter((format) => format.matches(parts));
  const [first] = matching;
  const reading = first?.read(parts) ?? { virtualSize: parts.size, problems: [] };
  const formats = matching.map((format) => format.name);
  const problems = matching.length > 1 ? [`The image is more than one format at once (${formats.join(', ')}).`, ...reading.problems] : reading.problems;
  return {
    format: first?.name ?? 'raw', formats, virtualSize: reading.virtualSize, actualSize: parts.size,
    partitionTable: partitionTable(parts.head), problems,
  };
}
