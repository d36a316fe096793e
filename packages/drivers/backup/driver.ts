import { DriverError } from '../errors.ts';
import type { Engine, EngineOptions } from './backup.ts';
import { runBackup } from './backup.ts';
import type { BackupDriver, Compression } from './contract.ts';
import { removeBackup } from './remove.ts';
import { runRestore } from './restore.ts';
import { scanStore } from './scan.ts';
import type { ObjectStore } from './store.ts';
import { openThreads, type Threads } from './threads.ts';
import { checkImport, describeChain, runVerify } from './verify.ts';

export interface ChunkedOptions {
  readonly name?: string;
  /** The most that an object holds before it is packed, in bytes: a multiple of the block size. More than LARGEST is taken as that, since objects are made in memory. */
  readonly objectBytes?: number;
  /** Grain of incremental backups; default 32,768. Changing it needs new full backups, as upstream's does. */
  readonly blockBytes?: number;
  /** Default zlib, which upstream can always read. */
  readonly compression?: Compression;
  /** Default 1: twice as fast as upstream's 6 for a few percent more bytes. */
  readonly level?: number;
  /** Shared with other drivers, and closed by whoever opened them; default its own. */
  readonly threads?: Threads;
  /** ms */
  readonly now?: () => number;
}

/** Upstream's object size for Swift. */
export const LARGEST = 52_428_800;
/** Of objects at work, for each call: two of the largest, plain and packed. */
const MEMORY = 4 * LARGEST;

/** One engine, any store: upstream's chunked layout. */
export function chunkedDriver(store: ObjectStore, options: ChunkedOptions & { readonly name: string }): BackupDriver {
  const rules = rulesOf(options);
  const threads = options.threads ?? openThreads();
  const engine: Engine = { ...rules, store, threads, now: options.now ?? Date.now };
  return {
    name: options.name,
    service: store.service,
    capabilities: { incremental: true, forceDelete: true, compression: ['none', 'zlib', 'zstd'], objectBytes: rules.objectBytes, blockBytes: rules.blockBytes },
    serves: (service) => store.serves(service),
    check: (call) => store.check(call),
    place: (backup, now) => store.place(backup, now),
    backup: (call, job) => runBackup(call, engine, job),
    restore: (call, job) => runRestore(call, engine, job),
    delete: (call, backup) => removeBackup(call, store, backup),
    exportRecord: (call, chain) => describeChain(call, engine, chain),
    importRecord: (call, backup, info) => checkImport(call, engine, backup, info),
    verify: (call, chain, { depth = 'data' } = {}) => runVerify(call, engine, chain, depth),
    scan: (call, { container } = {}) => scanStore(call, store, container),
    async close() {
      if (!options.threads) await threads.close();
      await store.close();
    },
  };
}

function rulesOf(options: ChunkedOptions): EngineOptions {
  const block = options.blockBytes ?? 32_768;
  const wrong = (message: string) => new DriverError('invalid', message);
  if (!Number.isSafeInteger(block) || block < 512 || block % 512 !== 0 || block > LARGEST) throw wrong('The block size of a backup target is a multiple of 512 bytes.');
  const asked = options.objectBytes ?? LARGEST;
  // Upstream's words for the same mistake.
  if (!Number.isSafeInteger(asked) || asked < block || asked % block !== 0) throw wrong('Chunk size is not multiple of block size for creating hash.');
  return {
    objectBytes: Math.min(asked, Math.floor(LARGEST / block) * block), largestBytes: LARGEST, blockBytes: block,
    compression: options.compression ?? 'zlib', level: options.level ?? 1, memoryBytes: MEMORY,
  };
}
