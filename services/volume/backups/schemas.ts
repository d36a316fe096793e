import { isBase64 } from '@cumulet/drivers/backup';
import { isUuidLike, shape, withDashes } from '@cumulet/wire';
import { z } from 'zod';
import { bool, description, nullableName, optionalUuid, uuidText } from '../shapes.ts';

const text255 = z.string().max(255);
/** Upstream's extra_specs: keys may hold a slash and a blank. */
const metadata = z.record(z.string().regex(/^[a-zA-Z0-9-_:. /]{1,255}$/), text255);
const base64 = z.string().min(1).refine(isBase64, { params: { format: 'base64' } });

export const BackupCreate = shape('BackupCreate', z.strictObject({
  backup: z.strictObject({
    volume_id: uuidText, container: text255.nullish(), name: nullableName, description, incremental: bool.optional(), force: bool.optional(), snapshot_id: optionalUuid,
    metadata: metadata.nullish(), availability_zone: text255.nullish(),
  }),
}));
export const BackupUpdate = shape('BackupUpdate', z.strictObject({ backup: z.strictObject({ name: nullableName, description, metadata: metadata.optional() }).nullable() }));
export const BackupRestore = shape('BackupRestore', z.strictObject({ restore: z.strictObject({ name: nullableName, volume_id: optionalUuid }).nullable() }));
export const RecordImport = shape('RecordImport', z.strictObject({ 'backup-record': z.strictObject({ backup_service: text255, backup_url: base64 }) }));
export const ResetBackup = shape('os-reset_status(backup)', z.looseObject({ 'os-reset_status': z.strictObject({ status: z.string() }) }));

/** Replies. Their newest form is made in view.ts. */
const BackupReply = shape('Backup', z.unknown());
export const BackupOne = shape('BackupReply', z.unknown(), { backup: BackupReply });
export const BackupList = shape('BackupList', z.unknown(), { backups: BackupReply });

const count = (of: unknown) => typeof of === 'number' && Number.isInteger(of) && of >= 0 && of <= 2_147_483_647;
/** As Postgres gives it back. */
export const dashedId = z.string().refine(isUuidLike).transform(withDashes);
/** What a record must and may say, whoever wrote it. `id` and `size` are asked for one by one, in upstream's words. */
export const backupRecord = z.looseObject({
  id: dashedId, size: z.unknown().refine(count).transform(Number), container: z.string().nullish(), service_metadata: z.string().nullish(), object_count: z.unknown().transform(v => (count(v) ? Number(v) : 0)),
  volume_id: dashedId.nullish(), parent_id: dashedId.nullish(), snapshot_id: dashedId.nullish(), encryption_key_id: dashedId.nullish(),
  display_name: z.string().nullish(), display_description: z.string().nullish(), created_at: z.string().nullish(), updated_at: z.string().nullish(), data_timestamp: z.string().nullish(), metadata: z.record(z.string(), z.string()).nullish(),
}).refine(r => r.parent_id !== r.id, { path: ['parent_id'] });
export type BackupRecord = z.output<typeof backupRecord>;
