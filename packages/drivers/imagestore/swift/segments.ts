import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { plainCall, type Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { giveBack } from '../../lent.ts';
import type { Segment, SwiftClient } from '../../swift/index.ts';

/** What Swift lets one manifest name (max_manifest_segments). */
const LARGEST_MANIFEST = 1000;

export interface Pieces {
  readonly swift: SwiftClient;
  readonly container: string;
  /** Of the object; pieces are called NAME-MARK-00001 and on, so that an unfinished upload is found by its image. */
  readonly name: string;
  /** 12 hex digits of this upload alone. */
  readonly mark: string;
  /** Bytes of a piece, all of which are held in memory: only so can it be sent again. */
  readonly pieceBytes: number;
  /** Bytes of the whole; `invalid` as soon as it turns out otherwise. */
  readonly size: number | undefined;
}

/**
 * Sends a stream as one object when it fits into a piece, else in pieces under a manifest, which is what makes the object appear. While one
 * piece is under way the next one fills; chunks that are lent are given back. Returns the bytes sent; when it throws, pieces may be left: `removePieces`.
 */
export async function sendPieces(call: Call, p: Pieces, body: Readable): Promise<number> {
  const sent: Segment[] = [];
  let manifests: Segment[] = [];
  let under: Promise<void> = Promise.resolve();
  let size = 0;

  const send = async (bytes: Buffer, etag: string) => {
    const name = pieceName(p.name, p.mark, manifests.length * LARGEST_MANIFEST + sent.length + 1);
    try { await p.swift.put(call, p.container, name, bytes, { etag }); } catch (error) {
      // Swift may yet finish what it has received whole, after any list of what is there; a deletion of a later time wins over it.
      await p.swift.delete(plainCall(call.taskId, AbortSignal.timeout(30_000)), p.container, name).catch((err: unknown) => call.log.debug({ err, name }, 'a segment that was under way could not be deleted'));
      throw error;
    }
    sent.push({ container: p.container, name, size: bytes.length, etag });
    call.progress(size += bytes.length, p.size ?? 0);
    // A manifest of manifests: thousands of pieces.
    if (sent.length === LARGEST_MANIFEST) manifests = [...manifests, await fold()];
  };
  const fold = async (): Promise<Segment> => {
    const name = `${pieceName(p.name, p.mark, manifests.length + 1)}-manifest`;
    const { etag } = await p.swift.putManifest(call, p.container, name, sent);
    return { container: p.container, name, etag, size: sent.splice(0).reduce((sum, s) => sum + s.size, 0) };
  };
  const within = (total: number) => {
    if (p.size !== undefined && total > p.size) throw new DriverError('invalid', `The image has more than the ${p.size} bytes that were announced.`);
  };

  // Two buffers: one fills, one is under way.
  const buffers: Buffer[] = [];
  let turn = 0;
  let filled = 0;
  let total = 0;
  // As it fills: the sum of a whole piece would keep everybody waiting for its time.
  let md5 = createHash('md5');
  const buffer = () => buffers[turn] ??= Buffer.allocUnsafeSlow(Math.min(p.pieceBytes, p.size ?? p.pieceBytes));
  const hand = async () => {
    const bytes = buffer().subarray(0, filled);
    const etag = md5.digest('hex');
    md5 = createHash('md5');
    await under;
    under = send(bytes, etag);
    // It is waited for before its buffer is needed, and at the end.
    under.catch(() => undefined);
    turn = 1 - turn;
    filled = 0;
  };
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      within(total += chunk.length);
      for (let at = 0; at < chunk.length;) {
        if (filled === p.pieceBytes) await hand();
        const n = chunk.copy(buffer(), filled, at, at + p.pieceBytes - filled);
        md5.update(chunk.subarray(at, at + n));
        filled += n;
        at += n;
      }
      giveBack(chunk);
    }
    call.signal.throwIfAborted();
    if (p.size !== undefined && total !== p.size) throw new DriverError('invalid', `The image has ${total} bytes where ${p.size} were announced.`);
    const metadata = { upload: p.mark };
    if (total <= p.pieceBytes) {
      await p.swift.put(call, p.container, p.name, buffer().subarray(0, filled), { fresh: true, metadata, etag: md5.digest('hex') });
      call.progress(total, p.size ?? 0);
      return total;
    }
    await hand();
    await under;
    const last = manifests.length > 0 && sent.length > 0 ? [...manifests, await fold()] : manifests;
    await p.swift.putManifest(call, p.container, p.name, last.length > 0 ? last : sent, { fresh: true, metadata });
    return total;
  } finally {
    await under.catch(() => undefined);
  }
}

const pieceName = (name: string, mark: string, number: number) => `${name}-${mark}-${String(number).padStart(5, '0')}`;

/** Pieces of an object and of unfinished uploads of it, ours or (NAME-00001) those of Glance. Names are ids of images, which may begin alike. */
export const isPieceOf = (name: string, piece: string): boolean => piece.startsWith(`${name}-`) && /^([0-9a-f]{12}-)?\d{5,}(-manifest)?$/.test(piece.slice(name.length + 1));

/** Whether the name is that of a piece of any object. */
export const isPiece = (name: string): boolean => /-[0-9a-f]{12}-\d{5,}(-manifest)?$/.test(name) || /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-\d{5,}$/.test(name);

/** What uploads of this name left, all of them or the one with that mark. */
export async function removePieces(call: Call, { swift, container, name }: Pick<Pieces, 'swift' | 'container' | 'name'>, mark?: string): Promise<void> {
  for await (const found of swift.list(call, container, `${name}-${mark ?? ''}`)) if (isPieceOf(name, found.name)) await swift.delete(call, container, found.name);
}
