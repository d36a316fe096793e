import { duplicateOf, type Trx } from '@cumulet/db';

export interface NamespaceRow { id: number; namespace: string; display_name: string | null; description: string | null; visibility: 'public' | 'private'; protected: boolean; owner: string; created_at: Date; updated_at: Date }
export type Kind = 'object' | 'property' | 'tag';
export interface ItemRow { namespace_id: number; kind: Kind; name: string; definition: Record<string, unknown>; created_at: Date; updated_at: Date }
export interface AssociationRow { namespace_id: number; resource_type: string; prefix: string | null; properties_target: string | null; created_at: Date; updated_at: Date }
export interface ResourceTypeRow { name: string; created_at: Date; updated_at: Date }

export const namespaceByName = (trx: Trx, name: string): Promise<NamespaceRow | undefined> => trx('metadef_namespaces').where({ namespace: name }).first();
export interface NamespaceQuery { readonly projectId: string | undefined; readonly isAdmin: boolean; readonly visibility?: string; readonly resourceTypes?: readonly string[]; readonly key: 'created_at' | 'updated_at' | 'namespace'; readonly dir: 'asc' | 'desc'; readonly limit: number; readonly marker?: NamespaceRow }
export function listNamespaces(trx: Trx, q: NamespaceQuery): Promise<NamespaceRow[]> {
  const query = trx('metadef_namespaces').limit(q.limit).orderBy([{ column: q.key, order: q.dir }, { column: 'id', order: q.dir }]);
  if (!q.isAdmin) query.where(w => w.where('visibility', 'public').orWhere('owner', q.projectId ?? ''));
  if (q.visibility !== undefined) query.where('visibility', q.visibility);
  if (q.resourceTypes) query.whereIn('id', trx('metadef_associations').whereIn('resource_type', [...q.resourceTypes]).select('namespace_id'));
  if (q.marker) query.whereRaw(`(??, id) ${q.dir === 'asc' ? '>' : '<'} (?, ?)`, [q.key, q.marker[q.key], q.marker.id]);
  return query;
}
/** Undefined when the name is taken. */
export async function insertNamespace(trx: Trx, row: Partial<NamespaceRow>): Promise<NamespaceRow | undefined> {
  const [made] = await trx('metadef_namespaces').insert(row).onConflict('namespace').ignore().returning('*');
  return made;
}
/** Undefined when the new name is taken. */
export const updateNamespace = (trx: Trx, id: number, patch: Partial<NamespaceRow>): Promise<NamespaceRow | undefined> => renamed(async () => {
  const [row] = await trx('metadef_namespaces').where({ id }).update({ ...patch, updated_at: trx.fn.now() }).returning('*');
  return row;
});
export const removeNamespace = (trx: Trx, id: number): Promise<number> => trx('metadef_namespaces').where({ id }).delete();

export const itemsOf = (trx: Trx, namespaceId: number, kind?: Kind): Promise<ItemRow[]> => trx('metadef_items').where({ namespace_id: namespaceId, ...(kind ? { kind } : {}) }).orderBy(['created_at', 'name']);
/** The tags of a namespace by a column and, where that is the same, by name. `limit` absent: all; `after`: those behind this one. */
export function tagsOf(trx: Trx, namespaceId: number, q: { readonly key: 'created_at' | 'updated_at' | 'name'; readonly dir: 'asc' | 'desc'; readonly limit?: number | undefined; readonly after?: ItemRow | undefined }): Promise<ItemRow[]> {
  const query = trx('metadef_items').where({ namespace_id: namespaceId, kind: 'tag' }).orderBy([{ column: q.key, order: q.dir }, { column: 'name', order: q.dir }]);
  if (q.limit !== undefined) query.limit(q.limit);
  if (q.after) query.whereRaw(`(??, name) ${q.dir === 'asc' ? '>' : '<'} (?, ?)`, [q.key, q.after[q.key], q.after.name]);
  return query;
}
export const item = (trx: Trx, namespaceId: number, kind: Kind, name: string): Promise<ItemRow | undefined> => trx('metadef_items').where({ namespace_id: namespaceId, kind, name }).first();
/** Undefined when the name is taken. */
export async function insertItem(trx: Trx, namespaceId: number, kind: Kind, name: string, definition: object): Promise<ItemRow | undefined> {
  const [row] = await trx('metadef_items').insert({ namespace_id: namespaceId, kind, name, definition: JSON.stringify(definition) }).onConflict(['namespace_id', 'kind', 'name']).ignore().returning('*');
  return row;
}
export const updateItem = (trx: Trx, of: ItemRow, name: string, definition: object): Promise<ItemRow | undefined> => renamed(async () => {
  const [row] = await trx('metadef_items').where({ namespace_id: of.namespace_id, kind: of.kind, name: of.name }).update({ name, definition: JSON.stringify(definition), updated_at: trx.fn.now() }).returning('*');
  return row;
});
export const removeItems = (trx: Trx, namespaceId: number, kind: Kind, name?: string): Promise<number> => trx('metadef_items').where({ namespace_id: namespaceId, kind, ...(name === undefined ? {} : { name }) }).delete();

export const resourceTypes = (trx: Trx): Promise<ResourceTypeRow[]> => trx('metadef_resource_types').orderBy(['created_at', 'name']);
export const associationsOf = (trx: Trx, namespaceIds: readonly number[]): Promise<AssociationRow[]> => trx('metadef_associations').whereIn('namespace_id', [...namespaceIds]).orderBy(['created_at', 'resource_type']);
/** Names a resource type that is new, too. Undefined when the two are associated already. */
export async function associate(trx: Trx, namespaceId: number, o: { readonly name: string; readonly prefix?: string | undefined; readonly properties_target?: string | undefined }): Promise<AssociationRow | undefined> {
  await trx('metadef_resource_types').insert({ name: o.name }).onConflict('name').ignore();
  const [row] = await trx('metadef_associations').insert({ namespace_id: namespaceId, resource_type: o.name, prefix: o.prefix ?? null, properties_target: o.properties_target ?? null }).onConflict(['namespace_id', 'resource_type']).ignore().returning('*');
  return row;
}
export const dissociate = (trx: Trx, namespaceId: number, name: string): Promise<number> => trx('metadef_associations').where({ namespace_id: namespaceId, resource_type: name }).delete();
export const clearAssociations = (trx: Trx, namespaceId: number): Promise<number> => trx('metadef_associations').where({ namespace_id: namespaceId }).delete();

async function renamed<T>(write: () => Promise<T>): Promise<T | undefined> {
  try { return await write(); } catch (error) {
    if (duplicateOf(error) !== undefined) return undefined;
    throw error;
  }
}
