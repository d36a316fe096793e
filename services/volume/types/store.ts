import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import type { Knex } from 'knex';

export interface Encryption { provider: string; cipher: string | null; key_size: number | null; control_location: string }
export interface TypeRow {
  id: string; name: string; description: string | null; is_public: boolean; extra_specs: Record<string, string>; qos_specs_id: string | null; encryption_id: string | null; encryption: Encryption | null; created_at: Date; updated_at: Date | null;
}

/** Types that a project may see: public ones, and private ones it has access to. `undefined` sees all. */
export function visible(trx: Trx, projectId: string | undefined): Knex.QueryBuilder {
  const query = trx('volume_types').select('volume_types.*');
  if (projectId !== undefined) query.where(q => q.where('is_public', true).orWhereExists(trx('volume_type_access as a').whereRaw('a.type_id = volume_types.id').where('a.project_id', projectId)));
  return query;
}
export const typeById = async (trx: Trx, id: string, projectId?: string): Promise<TypeRow | undefined> => (isUuid(id) ? visible(trx, projectId).where('volume_types.id', id).first() : undefined) as Promise<TypeRow | undefined>;
export const typeByName = async (trx: Trx, name: string, projectId?: string): Promise<TypeRow | undefined> => visible(trx, projectId).where({ name }).first() as unknown as Promise<TypeRow | undefined>;

/** The type of a project's volumes when none is asked for: the project's own default (3.62), else the configured one. */
export async function defaultType(trx: Trx, projectId: string, configured: string): Promise<TypeRow | undefined> {
  const own: TypeRow | undefined = await trx('volume_default_types as d').join('volume_types as t', 't.id', 'd.type_id').where('d.project_id', projectId).select('t.*').first();
  return own ?? typeByName(trx, configured);
}
/** `<is> True` and the spellings beside it: how extra specs say yes. */
export const specIsTrue = (value: string | undefined): boolean => value !== undefined && /^\s*<is>\s*(true|1|t|yes|y|on)\s*$/i.test(value);
