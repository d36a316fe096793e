import { openSwift, type SwiftOptions } from '../../swift/index.ts';
import type { BackupDriver } from '../contract.ts';
import { chunkedDriver, type ChunkedOptions } from '../driver.ts';
import { swiftStore } from './store.ts';

export interface SwiftBackupOptions extends ChunkedOptions, SwiftOptions {
  /** For backups that name none; default upstream's `volumebackups`. */
  readonly container?: string;
  /** This service's availability zone, for the names of objects; default `nova`. */
  readonly zone?: string;
  /** Storage policy of containers that are made here. */
  readonly policy?: string;
  /** Default true. */
  readonly createContainers?: boolean;
  /** Of long lists, in bytes; default 50 MB. */
  readonly segmentBytes?: number;
}

/** Backups in a Swift account. */
export function swiftBackupDriver(options: SwiftBackupOptions): BackupDriver {
  const store = swiftStore({
    swift: openSwift(options), container: options.container ?? 'volumebackups', zone: options.zone ?? 'nova', createContainers: options.createContainers ?? true,
    segmentBytes: options.segmentBytes ?? 52_428_800, ...(options.policy !== undefined && { policy: options.policy }),
  });
  return chunkedDriver(store, { ...options, name: options.name ?? 'swift' });
}
