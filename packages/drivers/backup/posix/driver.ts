import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Runner } from '@cumulet/exec';
import type { BackupDriver } from '../contract.ts';
import { chunkedDriver, type ChunkedOptions } from '../driver.ts';
import { shareMount } from './mount.ts';
import { posixStore } from './store.ts';

export interface PosixBackupOptions extends ChunkedOptions {
  /** Absolute; made when it is not there. */
  readonly directory: string;
  /** For backups that name no container; default a directory for each, `ab/cd/<id>`, as upstream's. */
  readonly container?: string;
}

export interface NfsBackupOptions extends ChunkedOptions {
  /** `HOST:PATH`, also `[v6]:PATH`. */
  readonly share: string;
  /** Options for the mount, as `vers=4.2,hard`. */
  readonly mountOptions?: string;
  /** Where it is mounted: absolute, and the share's alone. */
  readonly mountPoint: string;
  readonly container?: string;
  readonly runner: Runner;
}

/** Upstream's files are 2 GB by default, which it makes in memory. Smaller ones are made side by side, and are as readable there. */
const OBJECT = 16 << 20;

/** Backups in a directory: upstream's `backup_posix_path`. */
export function posixBackupDriver({ directory, container, ...options }: PosixBackupOptions): BackupDriver {
  const store = posixStore({
    directory, service: 'cinder.backup.drivers.posix.PosixBackupDriver', ...(container !== undefined && { container }),
    ready: async () => void await mkdir(resolve(directory), { recursive: true, mode: 0o770 }),
  });
  return chunkedDriver(store, { objectBytes: OBJECT, ...options, name: options.name ?? 'posix' });
}

/** The same on an NFS share, which is mounted when it is needed and not yet there: upstream's `backup_share`. */
export function nfsBackupDriver({ share, mountOptions, mountPoint, container, runner, ...options }: NfsBackupOptions): BackupDriver {
  const store = posixStore({
    directory: mountPoint, service: 'cinder.backup.drivers.nfs.NFSBackupDriver', ...(container !== undefined && { container }),
    ready: shareMount({ share, mountPoint: resolve(mountPoint), runner, ...(mountOptions !== undefined && { options: mountOptions }) }),
  });
  return chunkedDriver(store, { objectBytes: OBJECT, ...options, name: options.name ?? 'nfs' });
}
