import { keyset, type Trx } from '@cumulet/db';
import { BadRequest, NotFound } from '@cumulet/wire';
import type { ServerFlavor } from '../servers/row.ts';

export interface FlavorRow {
  num: number; id: string; name: string; memory_mb: number; vcpus: number; root_gb: number; ephemeral_gb: number; swap_mb: number; rxtx_factor: number; is_public: boolean; disabled: boolean; description: string | null;
  extra_specs: Record<string, string>; created_at: Date; updated_at: Date | null;
}
const visible = (projectId: string | undefined) => (q: import('knex').Knex.QueryBuilder) => q.where('f.is_public', true).orWhereExists(w => w.from('flavor_projects as p').whereRaw('p.flavor_id = f.id').where('p.project_id', projectId ?? ''));

/** A flavor by id, for who may see it. Administrators see all. */
export async function findFlavor(trx: Trx, who: { projectId: string | undefined; admin: boolean }, id: string): Promise<FlavorRow> {
  const query = trx('flavors as f').where('f.id', id);
  const row: FlavorRow | undefined = await (who.admin ? query : query.where(visible(who.projectId))).first('f.*');
  if (!row) throw new NotFound(`Flavor ${id} could not be found.`);
  return row;
}
export interface FlavorList { readonly public: boolean | undefined; readonly projectId: string | undefined; readonly minRam: number | undefined; readonly minDisk: number | undefined; readonly name?: string | undefined; readonly sorts: readonly { key: string; dir: 'asc' | 'desc' }[]; readonly limit: number; readonly marker: string | undefined }
const columns: Readonly<Record<string, string>> = { flavorid: 'f.id', id: 'f.num', name: 'f.name', memory_mb: 'f.memory_mb', vcpus: 'f.vcpus', root_gb: 'f.root_gb', ephemeral_gb: 'f.ephemeral_gb', swap: 'f.swap_mb', rxtx_factor: 'f.rxtx_factor', is_public: 'f.is_public', disabled: 'f.disabled', created_at: 'f.created_at', updated_at: 'f.updated_at', vcpu_weight: 'f.vcpus' };
export const flavorSortKeys = Object.keys(columns);

export async function listFlavors(trx: Trx, o: FlavorList): Promise<FlavorRow[]> {
  const query = trx('flavors as f').select('f.*');
  if (o.public === true) query.where(visible(o.projectId));
  if (o.public === false) query.where('f.is_public', false);
  if (o.minRam !== undefined) query.where('f.memory_mb', '>=', o.minRam);
  if (o.minDisk !== undefined) query.where('f.root_gb', '>=', o.minDisk);
  if (o.name !== undefined) query.where('f.name', o.name);
  const marker: Record<string, unknown> | undefined = o.marker === undefined ? undefined : await trx('flavors').where({ id: o.marker }).first();
  if (o.marker !== undefined && !marker) throw new BadRequest(`marker [${o.marker}] not found`);
  return keyset(query, [...o.sorts.filter(s => s.key !== 'flavorid'), ...o.sorts.filter(s => s.key === 'flavorid')].map(s => ({ column: columns[s.key] as string, dir: s.dir, ...(marker ? { after: marker[(columns[s.key] as string).slice(2)] } : {}) })), o.limit);
}
/** What a server keeps of it. */
export const snapshotOf = (f: FlavorRow): ServerFlavor => ({ num: f.num, id: f.id, name: f.name, memory_mb: f.memory_mb, vcpus: f.vcpus, root_gb: f.root_gb, ephemeral_gb: f.ephemeral_gb, swap_mb: f.swap_mb, extra_specs: f.extra_specs, description: f.description, rxtx_factor: f.rxtx_factor });
