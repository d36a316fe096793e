import type { Db, Trx } from '@cumulet/db';
import { DriverError } from '@cumulet/drivers';
import type { LuksKey } from '@cumulet/drivers/block';
import type { Runtime } from '@cumulet/service';
import { newId } from '@cumulet/wire';
import { randomBytes } from 'node:crypto';
import { invalidInput } from '../faults.ts';
import { typeById } from '../types/store.ts';
import type { VolumeRow } from '../volumes/store.ts';
import { cipherOf } from './rules.ts';

type Seal = Pick<Runtime['sealer'], 'seal'>;
type Open = Pick<Runtime['sealer'], 'open'>;
const context = (id: string) => `volume_keys/${id}`;
const keep = async (trx: Trx, sealer: Seal, projectId: string, key: Uint8Array): Promise<string> => {
  const id = newId();
  await trx('volume_keys').insert({ id, project_id: projectId, sealed: sealer.seal(key, context(id)) });
  return id;
};
interface KeyRow { readonly id: string; readonly project_id: string; readonly sealed: Buffer }
const keyById = async (trx: Trx, id: string): Promise<KeyRow | undefined> => trx('volume_keys').where({ id }).first();

/** A new key. Gives its id. */
export const createKey = (trx: Trx, sealer: Seal, projectId: string): Promise<string> => keep(trx, sealer, projectId, randomBytes(32));

/**
 * The same key under another id, as upstream does for copies: each volume's key goes with the volume. `ownedBy`: the key must be that project's, for ids that somebody could
 * have made up (an image's property).
 */
export async function cloneKey(trx: Trx, sealer: Seal & Open, id: string, o: { readonly projectId: string; readonly ownedBy?: string | undefined }): Promise<string> {
  const row = await keyById(trx, id);
  if (!row || (o.ownedBy !== undefined && row.project_id !== o.ownedBy)) throw invalidInput(`The encryption key ${id} could not be found.`);
  return keep(trx, sealer, o.projectId, sealer.open(row.sealed, context(id)));
}

/** What opens a container: the key as hexadecimal digits, as upstream's encryptors write it. */
export async function passphraseOf(trx: Trx, sealer: Open, id: string): Promise<string> {
  const row = await keyById(trx, id);
  if (!row) throw new DriverError('invalid', `The encryption key ${id} could not be found.`);
  return sealer.open(row.sealed, context(id)).toString('hex');
}

/** The key of an encrypted volume, and the cipher of its type for new containers. */
export async function luksKeyOf(trx: Trx, sealer: Open, row: Pick<VolumeRow, 'id' | 'encryption_key_id' | 'type_id'>): Promise<LuksKey> {
  if (row.encryption_key_id === null) throw new DriverError('invalid', `Volume ${row.id} is not encrypted.`);
  const type = await typeById(trx, row.type_id);
  const cipher = cipherOf(type?.encryption ?? null);
  if (!cipher) throw new DriverError('unsupported', `The cipher of volume ${row.id} is not supported.`);
  return { passphrase: await passphraseOf(trx, sealer, row.encryption_key_id), cipher };
}

const unused = `not exists (select 1 from volumes v where v.encryption_key_id = volume_keys.id) and not exists (select 1 from volume_backups b where b.encryption_key_id = volume_keys.id)
  and not exists (select 1 from images i where i.properties @> jsonb_build_object('cinder_encryption_key_id', volume_keys.id::text))`;
/** After a volume is gone: its key too, unless a backup or an image needs it. What was encrypted with it is noise from then on. */
export async function dropKey(trx: Trx, id: string | null | undefined): Promise<void> {
  if (id) await trx('volume_keys').where({ id }).whereRaw(unused).delete();
}
/** Keys that lost their last use elsewhere (a backup, an image). Young ones may be about to be used. */
export async function sweepKeys(db: Db): Promise<void> {
  await db('volume_keys').whereRaw(`created_at < now() - interval '1 hour'`).whereRaw(unused).delete();
}
