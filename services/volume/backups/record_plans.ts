import { DriverError } from '@cumulet/drivers';
import { encodeRecord, type BackupDriver, type DriverInfo, type Imported } from '@cumulet/drivers/backup';
import { parseTime } from '@cumulet/wire';
import { z } from 'zod';
import { call, plan, type VolumeDeps } from '../deps.ts';
import { settleBackup } from './plans.ts';
import { backupOf, chainRefs, targetOfRow } from './reach.ts';
import { backupRecord, type BackupRecord } from './schemas.ts';
import type { BackupRow } from './store.ts';

const time = (at: Date | null) => (at === null ? null : `${at.toISOString().slice(0, 19)}Z`);
/** The members of upstream's record, in its order. */
function recordOf(row: BackupRow, service: string, dependents: number, driverInfo: DriverInfo): Record<string, unknown> {
  return {
    driver_info: driverInfo, id: row.id, user_id: row.user_id, project_id: row.project_id, volume_id: row.volume_id, host: row.host, availability_zone: row.availability_zone, container: row.container, parent_id: row.parent_id, status: row.status,
    fail_reason: row.fail_reason, size: row.size, display_name: row.name, display_description: row.description, service_metadata: row.service_metadata, service, object_count: row.object_count, temp_volume_id: null, temp_snapshot_id: null,
    num_dependent_backups: dependents, snapshot_id: row.snapshot_id, data_timestamp: time(row.data_timestamp), restore_volume_id: row.restore_volume_id, metadata: row.metadata, encryption_key_id: row.encryption_key_id,
    created_at: time(row.created_at), updated_at: time(row.updated_at), deleted_at: null, deleted: false,
  };
}

/** Gives `{ record: { service, url } }`: upstream's base64 of JSON, with the chain's hashes and our signature where upstream keeps nothing. */
export const exportBackupPlan = plan('backup.export', z.object({ backupId: z.string() }))
  .step('record', async t => {
    const row = await backupOf(t, t.input.backupId);
    const driver = targetOfRow(t, row);
    const info = await driver.exportRecord(call(t), await chainRefs(t, row));
    const dependents = await t.transaction(async trx => Number((await trx('volume_backups').where({ parent_id: row.id }).count('* as n').first() as { n: number }).n));
    return { service: driver.service, url: encodeRecord(await t.deps.signer.sign(recordOf(row, driver.service, dependents, info))) };
  });

/** Upstream's list of what a record must have beside id and size. */
const needed = ['display_name', 'display_description', 'container', 'size', 'service_metadata', 'object_count', 'id'];

/** Which of this host's targets has the record's objects, and what it says of them. */
async function findObjects(t: { readonly deps: VolumeDeps } & Parameters<typeof call>[0], service: string, record: BackupRecord, info: DriverInfo | undefined): Promise<{ target: string; driver: BackupDriver; imported: Imported }> {
  const able = [...t.deps.targets].filter(([, driver]) => driver.serves(service));
  if (able.length === 0) throw new DriverError('unsupported', `Import record failed, cannot find backup service to perform the import. Request service ${service}.`);
  const ref = { id: record.id, volumeId: record.volume_id ?? '', parentId: record.parent_id ?? null, container: record.container ?? '', serviceMetadata: record.service_metadata ?? '' };
  let why: unknown;
  for (const [target, driver] of able) {
    try { return { target, driver, imported: await driver.importRecord(call(t), ref, info) }; } catch (error) {
      if (!(error instanceof DriverError) || !['absent', 'invalid'].includes(error.kind)) throw error;
      why = error;
    }
  }
  throw why;
}

/** Takes in what a record tells, once its target has said that the objects are there and are the ones that were exported. */
export const importBackupPlan = plan('backup.import', z.object({ backupId: z.string(), service: z.string(), record: z.record(z.string(), z.unknown()) }))
  .step('verify', async t => {
    const missing = needed.filter(key => !Object.hasOwn(t.input.record, key));
    if (missing.length > 0) throw new DriverError('invalid', `Driver successfully decoded imported backup data, but there are missing fields (${missing.join(', ')}).`);
    const record = backupRecord.parse(t.input.record);
    const origin = await t.deps.signer.check(t.input.record);
    const { target, driver, imported } = await findObjects(t, t.input.service, record, t.input.record['driver_info'] as DriverInfo | undefined);
    return { target, service: driver.service, objectCount: imported.objectCount, parentId: imported.parentId, origin };
  })
  .settles(async (trx, how, t) => {
    const seen = t.out.verify;
    const r = backupRecord.parse(t.input.record);
    const at = (text: string | null | undefined) => (text ? parseTime(text) : undefined);
    const created = at(r.created_at);
    await settleBackup(trx, how, t, {
      id: t.input.backupId, from: ['creating'], done: 'available', failed: 'error', action: 'createBackup',
      set: seen === undefined ? {} : {
        name: r.display_name ?? null, description: r.display_description ?? null, ...(r.volume_id ? { volume_id: r.volume_id } : {}), parent_id: r.parent_id ?? seen.parentId, snapshot_id: r.snapshot_id ?? null, container: r.container ?? null,
        service_metadata: r.service_metadata ?? null, object_count: r.object_count || seen.objectCount, target: seen.target, service: seen.service, host: t.deps.settings.host, availability_zone: t.deps.settings.volume.availabilityZone,
        metadata: { ...r.metadata }, encryption_key_id: r.encryption_key_id ?? null, fail_reason: null, data_timestamp: at(r.data_timestamp) ?? created ?? new Date(), ...(created ? { created_at: created } : {}), ...(at(r.updated_at) ? { updated_at: at(r.updated_at) } : {}),
      },
    });
  });
