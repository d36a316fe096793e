import type { Settings } from '@cumulet/config';
import { transaction } from '@cumulet/db';
import { DriverError, plainCall } from '@cumulet/drivers';
import { fakeBlockDriver, fileDriver, type BlockDriver } from '@cumulet/drivers/block';
import { createRunner } from '@cumulet/exec';
import { openImageAccess } from '@cumulet/image';
import type { Runtime, Work } from '@cumulet/service';
import { plans as list, type AnyPlan } from '@cumulet/tasks';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { connectPlan, disconnectPlan, initializePlan, terminatePlan } from './attachments/plans.ts';
import type { MakeTarget } from './backups/targets.ts';
import { backupPlans, openBackups } from './backups/work.ts';
import type { VolumeDeps } from './deps.ts';
import { sweepKeys } from './encryption/keys.ts';
import { createGroupSnapshotPlan, deleteGroupPlan, deleteGroupSnapshotPlan } from './groups/plans.ts';
import { listManageablePlan, managePlan, manageSnapshotPlan, unmanagePlan, unmanageSnapshotPlan } from './manage/plans.ts';
import { migrateAttachedPlan, migratePlan } from './migration/plans.ts';
import { volumeRef } from './refs.ts';
import { report, seen } from './scheduler/pools.ts';
import { createSnapshotPlan, deleteSnapshotPlan, revertPlan } from './snapshots/plans.ts';
import { takeSnapshotPlan } from './snapshots/still.ts';
import { reimageForServerPlan, reimagePlan, uploadImagePlan } from './volumes/image_plans.ts';
import { cloneToImagePlan } from './volumes/image_volumes.ts';
import { extendPlan } from './volumes/extend_plans.ts';
import { createPlan, deletePlan } from './volumes/plans.ts';
import type { VolumeRow } from './volumes/store.ts';

export const plans: readonly AnyPlan[] = list(
  createPlan, deletePlan, extendPlan, createSnapshotPlan, deleteSnapshotPlan, revertPlan, connectPlan, disconnectPlan, initializePlan, terminatePlan, uploadImagePlan, cloneToImagePlan, reimagePlan, reimageForServerPlan, migratePlan, migrateAttachedPlan,
  managePlan, unmanagePlan, manageSnapshotPlan, unmanageSnapshotPlan, listManageablePlan, createGroupSnapshotPlan, deleteGroupSnapshotPlan, deleteGroupPlan, takeSnapshotPlan,
  ...backupPlans,
);

type Backend = Settings['volume']['backends'][number];
function driverFor(rt: Runtime, b: Backend): BlockDriver {
  const { settings } = rt;
  switch (b.driver) {
    case 'file': return fileDriver({
      name: b.name, directory: resolve(settings.home, b.path ?? 'volumes'), format: b.format, ...(b.shared === true ? {} : { host: settings.host }), reservedPercentage: b.reservedPercentage, maxOverSubscriptionRatio: b.maxOverSubscriptionRatio,
      runner: createRunner({ log: rt.log }), ...(b.pool === undefined ? {} : { pool: b.pool }),
    });
    case 'fake': return fakeBlockDriver({ name: b.name, directory: resolve(settings.home, b.path ?? join('fake-volumes', b.name)), pools: [{ name: b.pool ?? b.name, totalGiB: b.totalGiB, reservedPercentage: b.reservedPercentage, maxOverSubscriptionRatio: b.maxOverSubscriptionRatio }] });
  }
}

/** This host's backends, by name, as configured. */
export const openBackends = (rt: Runtime, make: (rt: Runtime, b: Backend) => BlockDriver = driverFor): Map<string, BlockDriver> => new Map(rt.settings.volume.backends.map(b => [b.name, make(rt, b)]));

/** Tells the scheduler what the backends have. One that does not answer is not reported, and counts as down after a while. */
export async function reportBackends(rt: Pick<Runtime, 'db' | 'settings' | 'log'>, backends: ReadonlyMap<string, BlockDriver>): Promise<void> {
  const { host, volume } = rt.settings;
  for (const b of volume.backends) {
    const driver = backends.get(b.name);
    if (!driver) continue;
    try {
      const call = plainCall('report', AbortSignal.timeout(30_000));
      await driver.check(call);
      const pools = (await driver.pools(call)).map(p => ({ ...p, capabilities: { volume_backend_name: b.volumeBackendName ?? b.name, storage_protocol: driver.protocol, ...p.capabilities } }));
      const [first] = pools;
      await transaction(rt.db, trx => report(trx, `${host}@${b.name}`, b.name, volume.availabilityZone, pools, { driver: b.driver, ...first?.capabilities, can: { clone: driver.clone !== undefined, snapshots: driver.snapshots !== undefined, manage: driver.manage !== undefined, qos: driver.qos !== undefined } }));
    } catch (error) {
      rt.log.warn({ err: error, backend: b.name, detail: error instanceof DriverError ? error.detail : undefined }, 'a volume backend does not answer');
    }
  }
  await seen(rt.db, 'cinder-scheduler', host, volume.availabilityZone);
}

/** What the volume service brings to a worker: the host's backends. */
export async function openWork(rt: Runtime, make?: (rt: Runtime, b: Backend) => BlockDriver, makeTarget?: MakeTarget): Promise<Work> {
  const { settings } = rt;
  const backends = openBackends(rt, make);
  const images = await openImageAccess(rt);
  const scratch = resolve(settings.home, 'scratch');
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const backups = await openBackups(rt, makeTarget);
  const deps: VolumeDeps = { ...backups.deps, db: rt.db, tasks: rt.tasks, settings, sealer: rt.sealer, backends, images, runner: createRunner({ log: rt.log }), imageCache: join(resolve(settings.home), 'image-cache'), scratch };
  return {
    plans, deps, queues: [...backends.keys()].map(name => `backend/${settings.host}@${name}`).concat(backups.queues),
    periodic: [
      ...backups.periodic,
      { name: 'volume report', everySeconds: settings.volume.reportSeconds, run: () => reportBackends(rt, backends) },
      { name: 'volume keys', everySeconds: 3_600, run: () => sweepKeys(rt.db) },
      { name: 'volume messages', everySeconds: 3_600, run: async () => { await rt.db('volume_messages').where('expires_at', '<', rt.db.fn.now()).delete(); } },
    ],
    async start() {
      await reportBackends(rt, backends);
      await backups.start();
      await restoreConnections(rt, backends);
    },
    close: async () => { await backups.close(); await images.close(); },
  };
}

/** A restarted host has lost its exports (LIO keeps nothing): what is attached is exported again. */
async function restoreConnections(rt: Runtime, backends: ReadonlyMap<string, BlockDriver>): Promise<void> {
  for (const [name, driver] of backends) {
    if (!driver.attach.restore) continue;
    const rows: VolumeRow[] = await rt.db('volumes').whereLike('host', `${rt.settings.host}@${name}#%`).whereExists(rt.db('volume_attachments as a').whereRaw('a.volume_id = volumes.id').whereNotNull('a.connection_info')).select('volumes.*');
    for (const row of rows) await driver.attach.restore(plainCall('restore'), volumeRef(row)).catch((error: unknown) => rt.log.error({ err: error, volume: row.id }, 'a connection could not be restored'));
  }
}
