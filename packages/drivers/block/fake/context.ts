import type { Call } from '../../call.ts';
import type { DataRef } from '../contract.ts';
import type { FakeObject } from './state.ts';

export type FakeVerb =
  | 'check' | 'pools' | 'volumes.create' | 'volumes.delete' | 'volumes.extend' | 'volumes.exists' | 'data.read' | 'data.write' | 'data.zero' | 'data.extents'
  | 'attach.connect' | 'attach.disconnect' | 'snapshots.create' | 'snapshots.delete' | 'snapshots.revert' | 'snapshots.exists'
  | 'clone.fromVolume' | 'clone.fromSnapshot' | 'manage.list' | 'manage.size' | 'manage.adopt' | 'manage.release'
  | 'manageSnapshots.list' | 'manageSnapshots.size' | 'manageSnapshots.adopt' | 'manageSnapshots.release' | 'rename' | 'migrate' | 'groups.snapshot' | 'qos.apply' | 'encryption.create' | 'encryption.open';

/** What the parts of the fake share. */
export interface FakeContext {
  through<T>(verb: FakeVerb, call: Call, work: () => T | Promise<T>): Promise<T>;
  keyOf(ref: DataRef): string;
  find(ref: DataRef): FakeObject;
  get(key: string): FakeObject | undefined;
  put(object: FakeObject): void;
  delete(key: string): void;
  keys(): string[];
  snapshotsOf(volume: string): string[];
}

export const GiB = 2 ** 30;
