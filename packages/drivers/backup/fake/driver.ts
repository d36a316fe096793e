import { scriptedFaults, type Faults } from '../../faults.ts';
import type { BackupDriver } from '../contract.ts';
import { chunkedDriver, type ChunkedOptions } from '../driver.ts';
import type { ObjectStore } from '../store.ts';
import { memoryStore, type Held } from './memory.ts';

/** The contract's verbs, and those of the objects below them: `object.put` is called for each object that is stored. */
type Verb = 'check' | 'backup' | 'restore' | 'delete' | 'exportRecord' | 'importRecord' | 'verify' | 'scan' | 'object.put' | 'object.get' | 'object.list' | 'object.remove' | 'object.settle';

export interface FakeBackupDriver extends BackupDriver {
  readonly faults: Faults<Verb>;
  /** Containers and their objects: to be counted, damaged and taken away. */
  readonly held: Held;
}

/** A target that is not there: the real engine, objects in memory, and it fails, hangs or dawdles as a test says. */
export function fakeBackupDriver(options: ChunkedOptions & { /** Objects of an earlier fake, as after a restart. */ readonly held?: Held } = {}): FakeBackupDriver {
  const faults = scriptedFaults<Verb>();
  const held: Held = options.held ?? new Map();
  const below = memoryStore(held);
  const store: ObjectStore = {
    ...below,
    put: (call, ...rest) => faults.through('object.put', call, () => below.put(call, ...rest)),
    putStream: (call, ...rest) => faults.through('object.put', call, () => below.putStream(call, ...rest)),
    get: (call, ...rest) => faults.through('object.get', call, () => below.get(call, ...rest)),
    async *list(call, ...rest) {
      yield* await faults.through('object.list', call, () => below.list(call, ...rest));
    },
    remove: (call, ...rest) => faults.through('object.remove', call, () => below.remove(call, ...rest)),
    settle: (call, ...rest) => faults.through('object.settle', call, () => below.settle(call, ...rest)),
  };
  const driver = chunkedDriver(store, { objectBytes: 4 << 20, ...options, name: options.name ?? 'fake' });
  return {
    ...driver,
    faults,
    held,
    check: (call) => faults.through('check', call, () => driver.check(call)),
    backup: (call, job) => faults.through('backup', call, () => driver.backup(call, job)),
    restore: (call, job) => faults.through('restore', call, () => driver.restore(call, job)),
    delete: (call, backup) => faults.through('delete', call, () => driver.delete(call, backup)),
    exportRecord: (call, chain) => faults.through('exportRecord', call, () => driver.exportRecord(call, chain)),
    importRecord: (call, backup, info) => faults.through('importRecord', call, () => driver.importRecord(call, backup, info)),
    verify: (call, chain, how) => faults.through('verify', call, () => driver.verify(call, chain, how)),
    async *scan(call, where) {
      yield* await faults.through('scan', call, () => driver.scan(call, where));
    },
  };
}
