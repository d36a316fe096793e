import { createHash } from 'node:crypto';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { BackupDone, BackupJob, BackupRef, Compression } from './contract.ts';
import { checkRef, metadataName, objectName, partName, readPrefix } from './layout.ts';
import { openParent, type ParentHashes } from './hashes.ts';
import { DIGEST, packHashes, PartDraft, partsSoFar, repeated, type Hashes } from './parts.ts';
import { writeMetadata, writeSha256File } from './finish.ts';
import { readMetadataOf } from './metadata.ts';
import type { ObjectEntry, PartRef } from './shapes.ts';
import { Slots } from './slots.ts';
import { spans, type Span, type SpanRules } from './spans.ts';
import type { ObjectStore } from './store.ts';
import type { Threads } from './threads.ts';
import { packedZeros } from './zeros.ts';

export interface EngineOptions {
  /** The most that an object holds, plain. */
  readonly objectBytes: number;
  /** As large as it may get for a large volume. */
  readonly largestBytes: number;
  readonly blockBytes: number;
  readonly compression: Compression;
  readonly level: number;
  /** For the plain and packed bytes of all objects that are at work. */
  readonly memoryBytes: number;
}
export interface Engine extends EngineOptions {
  readonly store: ObjectStore;
  readonly threads: Threads;
  /** ms, for how often a part is kept. */
  readonly now: () => number;
}

/** A part is kept when it is this heavy or old: what a kill can cost. */
const PART_WEIGHT = 256 << 10;
const PART_AGE_MS = 5000;
const HOLE_BYTES = 512 << 20;
const SMALL_HOLE = 4 << 20;
/** Spans that are at work; those with data are bounded by their slabs. */
const AHEAD = 16;

interface Slab {
  readonly plain: Uint8Array;
  readonly packed: Uint8Array;
}
/** What one span came to. */
interface Done {
  readonly span: Span;
  readonly hashes: Hashes;
  readonly objects: readonly ObjectEntry[];
}

/** What fits into a metadata object that can be read again. */
const MOST_OBJECTS = 300_000;
/** Larger volumes get larger objects, so that their list stays short. */
const USUAL_OBJECTS = 65_536;
const LARGEST_KEEP = 64 << 10;

/** Makes a backup, or goes on where an earlier call for the same moment was cut short. */
export async function runBackup(call: Call, engine: Engine, job: BackupJob): Promise<BackupDone> {
  const { store, blockBytes: block } = engine;
  const { backup, source } = job;
  checkRef(backup);
  if (readPrefix(backup.serviceMetadata)?.backupId !== backup.id) throw new DriverError('invalid', 'The place of the backup is that of another backup.');
  if ((backup.parentId === null) !== (job.parent === undefined) || job.parent && job.parent.id !== backup.parentId) throw new DriverError('broken', 'The parent of the backup is not the one that was given.');

  if (JSON.stringify(job.keep ?? {}).length > LARGEST_KEEP) throw new DriverError('broken', 'There is too much to be kept beside the backup.');

  const ready = await complete(call, store, backup);
  if (ready !== undefined) return { objectCount: ready, read: 0, stored: 0 };
  await store.prepare(call, backup.container);
  await store.sweep(call, backup);
  const parent = job.parent && await openParent(call, store, job.parent, { bytes: source.bytes, block });
  const made = new Making(call, engine, job, parent?.hashes);
  try {
    await made.resume();
    await made.run();
  } finally {
    await parent?.hashes.close();
  }
  await writeSha256File(call, store, job, made.parts, block);
  await store.settle(call, backup.container);
  await writeMetadata(call, store, job, { parts: made.parts, block, parent: parent?.metadata ?? null });
  await store.settle(call, backup.container);
  return { objectCount: made.count, read: made.read, stored: made.stored };
}

/** How many objects it has, when it is there already. */
async function complete(call: Call, store: ObjectStore, backup: BackupRef): Promise<number | undefined> {
  for await (const { name } of store.list(call, backup.container, metadataName(backup.serviceMetadata))) {
    if (name === metadataName(backup.serviceMetadata)) return (await readMetadataOf(call, store, backup)).metadata.objects.length;
  }
  return undefined;
}

class Making {
  readonly parts: PartRef[] = [];
  count = 0;
  read = 0;
  stored = 0;
  readonly #call: Call;
  readonly #engine: Engine;
  readonly #job: BackupJob;
  readonly #parent: ParentHashes | undefined;
  readonly #zero: Buffer;
  readonly #stop = new AbortController();
  #from = 0;
  #draft = new PartDraft(0);
  #keptAt: number;

  constructor(call: Call, engine: Engine, job: BackupJob, parent: ParentHashes | undefined) {
    this.#call = { ...call, signal: AbortSignal.any([call.signal, this.#stop.signal]), progress: (done, total) => call.progress(done, total) };
    this.#engine = engine;
    this.#job = job;
    this.#parent = parent;
    this.#zero = createHash('sha256').update(Buffer.alloc(engine.blockBytes)).digest();
    this.#keptAt = engine.now();
  }

  /** Takes over what an earlier call has stored, and forgets what lies beyond. */
  async resume(): Promise<void> {
    const { store, blockBytes: block } = this.#engine;
    const { backup, moment } = this.#job;
    const { container, serviceMetadata: prefix } = backup;
    const sizes = new Map<string, number>();
    for await (const { name, size } of store.list(this.#call, container, prefix)) sizes.set(name, size);
    if (sizes.size > 0) {
      for (const { ref, objects } of await partsSoFar(this.#call, store, { container, prefix, backupId: backup.id, moment, block })) {
        if (ref.to > this.#job.source.bytes || objects.some((one) => sizes.get(one.name) !== one.stored)) break;
        this.parts.push(ref);
        this.count += objects.length;
        this.#from = ref.to;
      }
    }
    const keep = new Set(Array.from({ length: this.count }, (_, n) => objectName(prefix, n + 1)));
    for (const name of sizes.keys()) if (!keep.has(name)) await store.remove(this.#call, container, name);
    this.#draft = new PartDraft(this.#from);
    await this.#parent?.skip(this.#from / block);
    if (this.#from > 0) this.#call.log.info({ from: this.#from, objects: this.count }, 'The backup goes on where it was cut short');
  }

  async run(): Promise<void> {
    const { blockBytes: block, largestBytes, memoryBytes, threads } = this.#engine;
    const { source } = this.#job;
    const objectBytes = Math.max(this.#engine.objectBytes, Math.min(Math.floor(largestBytes / block) * block, Math.ceil(source.bytes / USUAL_OBJECTS / block) * block));
    const slabBytes = Math.min(objectBytes, Math.max(block, Math.ceil(source.bytes / block) * block));
    const slabs = Math.max(1, Math.min(threads.count + 1, Math.floor(memoryBytes / (2 * slabBytes))));
    const slots = new Slots<Slab>(Array.from({ length: slabs }, () => ({ plain: new Uint8Array(new SharedArrayBuffer(slabBytes)), packed: new Uint8Array(new SharedArrayBuffer(slabBytes)) })));
    const holeBytes = Math.max(objectBytes, Math.floor(HOLE_BYTES / block) * block);
    const rules: SpanRules = { block, objectBytes, holeBytes, smallHole: Math.max(block, Math.min(SMALL_HOLE, objectBytes)) };

    // Spans are read one after the other; hashed, packed and stored side by side; numbered and kept in the parts in their order.
    const ahead: Promise<Done>[] = [];
    let numbered: Promise<unknown> = Promise.resolve();
    const begin = (span: Span, slab: Slab | undefined): void => {
      const before = numbered;
      const turn = Promise.withResolvers<void>();
      numbered = turn.promise;
      const work = this.#span(span, slab, before, turn.resolve).finally(() => {
        if (slab) slots.give(slab);
      });
      // A failure ends everything at once, whoever waits for what.
      work.catch((error: unknown) => { turn.resolve(); this.#stop.abort(error); });
      ahead.push(work);
    };
    try {
      for await (const span of spans(this.#call, source, this.#from, rules)) {
        this.#call.signal.throwIfAborted();
        const slab = span.data.length > 0 ? await slots.take() : undefined;
        if (slab) await this.#fill(span, slab);
        begin(span, slab);
        while (ahead.length > AHEAD) await this.#settle(ahead.shift());
      }
      while (ahead.length > 0) await this.#settle(ahead.shift());
      await this.#keep(true);
    } catch (error) {
      this.#stop.abort(error);
      await Promise.allSettled(ahead);
      throw this.#stop.signal.reason ?? error;
    }
  }

  async #fill(span: Span, { plain }: Slab): Promise<void> {
    let at = span.offset;
    const zeros = (to: number) => void plain.fill(0, at - span.offset, to - span.offset);
    for (const piece of span.data) {
      zeros(piece.offset);
      at = piece.offset;
      for await (const bytes of await this.#job.source.read(this.#call, piece) as AsyncIterable<Buffer>) {
        if (at + bytes.length > piece.offset + piece.length) throw new DriverError('broken', 'The volume cannot be read: it is longer than it should be.');
        plain.set(bytes, at - span.offset);
        at += bytes.length;
        this.read += bytes.length;
      }
      this.#call.signal.throwIfAborted();
      if (at !== piece.offset + piece.length) throw new DriverError('broken', 'The volume cannot be read: it is shorter than it should be.');
    }
    zeros(span.offset + span.length);
  }

  async #span(span: Span, slab: Slab | undefined, before: Promise<unknown>, numbered: () => void): Promise<Done> {
    const { threads, blockBytes: block } = this.#engine;
    const blocks = Math.ceil(span.length / block);
    const bytes = slab?.plain.subarray(0, span.length);
    const all = bytes ? await threads.blocks(bytes, block) : repeated(this.#zero, blocks);
    await before;
    this.#call.signal.throwIfAborted();
    const parts = this.#parent ? changed(all, await this.#parent.take(blocks), span.length, block) : [{ from: 0, to: span.length }];
    if (this.count + parts.length > MOST_OBJECTS) throw new DriverError('unsupported', 'The volume is too large for a backup on this target: it would be too many objects.');
    const named = parts.map((part) => ({ ...part, name: objectName(this.#job.backup.serviceMetadata, this.count += 1) }));
    numbered();
    const objects: ObjectEntry[] = [];
    for (const { name, from, to } of named) {
      this.#call.signal.throwIfAborted();
      objects.push(await this.#store(name, span.offset + from, to - from, bytes?.subarray(from, to), slab));
    }
    return { span, hashes: bytes ? packHashes(all, this.#zero) : { runs: [blocks], digests: Buffer.alloc(0) }, objects };
  }

  async #store(name: string, offset: number, length: number, bytes: Uint8Array | undefined, slab: Slab | undefined): Promise<ObjectEntry> {
    const { store, threads, compression, level } = this.#engine;
    const { container } = this.#job.backup;
    if (!bytes || !slab) {
      const stored = packedZeros(length);
      await store.put(this.#call, container, name, stored);
      this.stored += stored.length;
      return { name, offset, length, compression: 'bz2', stored: stored.length, zeros: true };
    }
    const packed = await threads.pack(bytes, slab.packed, compression, level);
    await store.put(this.#call, container, name, packed.compression === 'none' ? bytes : slab.packed.subarray(0, packed.length), { md5: packed.etag });
    this.stored += packed.length;
    return { name, offset, length, compression: packed.compression, md5: packed.md5, sha256: packed.sha256, stored: packed.length };
  }

  async #settle(done: Promise<Done> | undefined): Promise<void> {
    if (!done) return;
    const { span, hashes, objects } = await done;
    this.#draft.add(span.length, hashes, objects);
    this.#call.progress(span.offset + span.length, this.#job.source.bytes);
    await this.#keep(false);
  }

  async #keep(last: boolean): Promise<void> {
    const { store, blockBytes: block, now } = this.#engine;
    const { backup, moment } = this.#job;
    if (this.#draft.to === this.#draft.from) return;
    if (!last && this.#draft.weight < PART_WEIGHT && now() - this.#keptAt < PART_AGE_MS) return;
    await store.settle(this.#call, backup.container);
    const bytes = this.#draft.encode({ backupId: backup.id, moment, block });
    const name = partName(backup.serviceMetadata, this.parts.length + 1);
    await store.put(this.#call, backup.container, name, bytes);
    this.parts.push({ name, sha256: createHash('sha256').update(bytes).digest('hex'), from: this.#draft.from, to: this.#draft.to });
    this.#draft = new PartDraft(this.#draft.to);
    this.#keptAt = now();
  }
}

/** Runs of blocks that are not the parent's, in bytes of the span. */
function changed(all: Buffer, parent: Buffer, length: number, block: number): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = [];
  if (all.equals(parent)) return found;
  for (let at = 0; at < all.length;) {
    const same = all.compare(parent, at, at + DIGEST, at, at + DIGEST) === 0;
    let end = at + DIGEST;
    while (end < all.length && (all.compare(parent, end, end + DIGEST, end, end + DIGEST) === 0) === same) end += DIGEST;
    if (!same) found.push({ from: at / DIGEST * block, to: Math.min(length, end / DIGEST * block) });
    at = end;
  }
  return found;
}
