import { access, constants, mkdir, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { convert, endOrphans } from '@cumulet/diskimage';
import type { Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { publish, sweepTemporaries } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { BlockDriver, ConnectionInfo, Pool } from '../contract.ts';
import { fileContext, GiB } from './context.ts';
import { fileData } from './data.ts';
import { fileEncryption } from './encryption.ts';
import { attempt } from './failure.ts';
import { fileLayout } from './layout.ts';
import { fileManage, fileManageSnapshots } from './manage.ts';
import { qcow2Disk } from './qcow2.ts';
import { rawDisk } from './raw.ts';
import { fileRename, fileSnapshots, fileVolumes, makeVolume } from './volumes.ts';

export interface FileDriverOptions {
  /** The backend's name. */
  readonly name: string;
  /** Where volumes are files; for NFS the folder where the share is mounted. */
  readonly directory: string;
  readonly runner: Runner;
  /** Default `raw`. */
  readonly format?: 'raw' | 'qcow2';
  /** This host's name: a local folder serves guests of this host only. Absent: not checked. */
  readonly host?: string;
  /** The folder is a mounted share that other hosts mount too. `directory` must then be a mount point. */
  readonly nfs?: { readonly export: string; readonly options?: string; readonly mountPointBase: string };
  readonly pool?: string;
  readonly reservedPercentage?: number;
  readonly maxOverSubscriptionRatio?: number | 'auto';
  /** ms; default Date.now. */
  readonly now?: () => number;
}

/** Volumes as sparse files in a folder: the embedded default, and the way to use an NFS share. */
export function fileDriver(options: FileDriverOptions): BlockDriver {
  const root = resolve(options.directory);
  const { runner, nfs, format = 'raw' } = options;
  const raw = rawDisk(runner);
  const layout = fileLayout(root);
  const context = fileContext(runner, layout, format === 'raw' ? raw : qcow2Disk(runner), raw);
  const pool = options.pool ?? nfs?.export ?? options.name;

  async function check(): Promise<string[]> {
    if (nfs) {
      const [here, above] = await Promise.all([stat(root), stat(dirname(root))]);
      if (here.dev === above.dev) throw new DriverError('broken', 'The share is not mounted.', { detail: root });
    }
    // QEMU may run as another user: it must get through to the files it is given, and to nothing else.
    await mkdir(root, { recursive: true, mode: 0o711 });
    await mkdir(join(root, '.tmp'), { recursive: true, mode: 0o700 });
    await access(root, constants.R_OK | constants.W_OK | constants.X_OK);
    await endOrphans();
    return sweepTemporaries(root, (options.now ?? Date.now)());
  }

  async function measure(): Promise<Pool> {
    const { bsize, blocks, bavail } = await statfs(root);
    let provisioned = 0;
    for (const { path } of await layout.files()) {
      // What goes meanwhile is nothing.
      provisioned += await context.sizeOfFile(path).catch(() => 0);
    }
    return {
      name: pool, totalGiB: (blocks * bsize) / GiB, freeGiB: (bavail * bsize) / GiB, provisionedGiB: provisioned / GiB, thin: true,
      reservedPercentage: options.reservedPercentage ?? 0, maxOverSubscriptionRatio: options.maxOverSubscriptionRatio ?? 20,
      capabilities: {
        vendor_name: 'Cumulet', driver_version: '1.0', storage_protocol: nfs ? 'nfs' : 'file', thin_provisioning_support: true,
        thick_provisioning_support: false, multiattach: format === 'raw', QoS_support: false, sparse_copy_volume: true, encryption_support: true,
      },
    };
  }

  const driver: BlockDriver = {
    name: options.name,
    protocol: nfs ? 'nfs' : 'file',
    check: (call) => attempt('The storage cannot be used', call.signal, async () => {
      const swept = await check();
      if (swept.length > 0) call.log.info({ backend: options.name, swept }, 'Removed unfinished files that nobody writes to');
    }),
    pools: (call) => attempt('The storage cannot be measured', call.signal, async () => [await measure()]),
    volumes: fileVolumes(context),
    data: fileData(context),
    snapshots: fileSnapshots(context),
    rename: fileRename(context),
    encryption: fileEncryption(context),
    clone: {
      fromVolume: (call, source, spec, { inUse = false } = {}) => makeVolume(context, call, spec, 'The volume cannot be copied', async (unfinished, bytes) => {
        const from = await context.find(source);
        if (from.bytes > bytes) throw new DriverError('invalid', 'The new volume is smaller than its source.');
        await context.diskOf(spec).copy(call, from.path, unfinished, { bytes, inUse });
      }),
      fromSnapshot: (call, source, spec) => makeVolume(context, call, spec, 'The volume cannot be made from the snapshot', async (unfinished, bytes) => {
        const from = await context.find(source);
        if (from.bytes > bytes) throw new DriverError('invalid', 'The new volume is smaller than its source.');
        await context.diskOf(spec).copy(call, from.path, unfinished, { bytes });
      }),
    },
    image: {
      fromFile: (call, spec, image) => makeVolume(context, call, spec, 'The volume cannot be made from the image', (unfinished, bytes) => context.diskOf(spec).load(call, image, unfinished, bytes)),
      toFile: (call, ref, image) => attempt('The image cannot be made', call.signal, async () => {
        const { path } = await context.find(ref);
        const { format: from } = context.diskOf(ref);
        const unfinished = `${image.path}~${crypto.randomUUID()}`;
        try {
          await convert(runner, { from: { path, format: from, trusted: true, shared: from === 'raw' }, to: { path: unfinished, format: image.format }, signal: call.signal, progress: call.progress.bind(call) });
          await publish(unfinished, image.path);
        } finally {
          await rm(unfinished, { force: true });
        }
      }),
    },
    manage: fileManage(context, [root, ...(nfs ? [nfs.export] : [])]),
    manageSnapshots: fileManageSnapshots(context),
    attach: {
      connect: (call, volume, connector, { mode = 'rw' } = {}) => attempt('The volume cannot be attached', call.signal, () => connect(call, volume, connector.host, mode)),
      // A file needs nothing to be let go.
      disconnect: (call) => attempt('The volume cannot be detached', call.signal, async () => {}),
    },
  };

  async function connect(_call: Call, volume: Parameters<BlockDriver['attach']['connect']>[1], host: string, mode: 'rw' | 'ro'): Promise<ConnectionInfo> {
    const { path } = await context.find(volume);
    const data = { access_mode: mode, encrypted: false, format: context.diskOf(volume).format, device_path: path } as const;
    if (!nfs) {
      if (options.host !== undefined && host !== options.host) throw new DriverError('unsupported', 'The volume is on the local storage of another host.', { detail: `${host}, not ${options.host}` });
      return { driver_volume_type: 'local', data };
    }
    return { driver_volume_type: 'nfs', mount_point_base: nfs.mountPointBase, data: { ...data, export: nfs.export, name: volume.name, options: nfs.options ?? null } };
  }
  return driver;
}
