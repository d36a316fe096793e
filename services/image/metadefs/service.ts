import { transaction, type Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict, Fault, Forbidden, lastOf, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { ImageDeps } from '../opened.ts';
import { readOnly, type NamespaceInput } from './schemas.ts';
import { associate, clearAssociations, insertItem, insertNamespace, namespaceByName, updateNamespace, type ItemRow, type Kind, type NamespaceRow } from './store.ts';

const target = (n: Pick<NamespaceRow, 'owner' | 'visibility'>) => ({ project_id: n.owner, visibility: n.visibility });

/** Asks the operation's rule about a namespace; who may not see it finds none. */
export function permitNamespace(ctx: Context, n: NamespaceRow): void {
  try { ctx.permit(target(n)); } catch (error) {
    if (error instanceof Fault && error.status === 403 && !ctx.allows('get_metadef_namespace', target(n))) throw absent(n.namespace);
    throw error;
  }
}
const absent = (name: string) => new NotFound(`Metadata definition namespace=${name} was not found.`);
export async function findNamespace(trx: Trx, ctx: Context): Promise<NamespaceRow> {
  const name = ctx.params['namespace'] as string;
  const row = await namespaceByName(trx, name);
  if (!row || !ctx.allows('get_metadef_namespace', target(row))) throw absent(name);
  permitNamespace(ctx, row);
  return row;
}
/** By what a list is asked to be sorted: newest first when nothing is said. */
export function sortOf<K extends string>(query: Readonly<Record<string, string | readonly string[]>>, keys: readonly ['created_at', ...K[]]): { readonly key: 'created_at' | K; readonly dir: 'asc' | 'desc' } {
  const given = (name: string, fallback: string) => (query[name] === undefined ? fallback : String(lastOf(query[name])));
  const [key, dir] = [given('sort_key', 'created_at'), given('sort_dir', 'desc')];
  if (dir !== 'asc' && dir !== 'desc') throw new BadRequest(`Invalid sort direction: ${dir}`);
  const known = keys.find(k => k === key);
  if (known === undefined) throw new BadRequest(`Invalid sort key: ${key}. It must be one of the following: ${keys.join(', ')}.`);
  return { key: known, dir };
}
/** Before something of a namespace goes. */
export function refuseProtected(n: NamespaceRow, what: string): void {
  if (n.protected) throw new Forbidden(`Metadata definition ${what} is protected and cannot be deleted.`);
}
const words: Readonly<Record<Kind, string>> = { object: 'object', property: 'property', tag: 'tag' };
export const absentItem = (kind: Kind, name: string, namespace: string) => new NotFound(`The metadata definition ${words[kind]} with name=${name} was not found in namespace=${namespace}.`);
export const doubleItem = (kind: Kind, name: string, namespace: string) => new Conflict(`A metadata definition ${words[kind]} with name=${name} already exists in namespace=${namespace}.`);
export function refuseReadOnly(body: object): void { for (const name of readOnly) if (name in body) throw new Forbidden(`Attribute '${name}' is read-only.`); }

/** What a caller gave of an item besides its name. */
export const definitionOf = (given: Record<string, unknown>): Record<string, unknown> => Object.fromEntries(Object.entries(given).filter(([member]) => member !== 'name'));

/** A namespace with all that is in it, in one transaction. Undefined when its name is taken. */
export async function writeNamespace(trx: Knex.Transaction, input: NamespaceInput, owner: string): Promise<NamespaceRow | undefined> {
  const made = await insertNamespace(trx, {
    namespace: input.namespace, display_name: input.display_name ?? null, description: input.description ?? null, visibility: input.visibility ?? 'private', protected: input.protected ?? false, owner: input.owner ?? owner,
  });
  if (!made) return undefined;
  for (const a of input.resource_type_associations ?? []) await associate(trx, made.id, a);
  const add = async (kind: Kind, name: string, definition: object): Promise<ItemRow> => {
    const row = await insertItem(trx, made.id, kind, name, definition);
    if (!row) throw doubleItem(kind, name, made.namespace);
    return row;
  };
  for (const [name, definition] of Object.entries(input.properties ?? {})) await add('property', name, definitionOf(definition));
  for (const o of input.objects ?? []) await add('object', o.name, definitionOf(o));
  for (const t of input.tags ?? []) await add('tag', t.name, {});
  return made;
}

export function createNamespace(d: ImageDeps, ctx: Context, input: NamespaceInput): Promise<NamespaceRow> {
  const owner = input.owner ?? ctx.caller.projectId ?? '';
  return transaction(d.rt.db, async trx => {
    const made = await writeNamespace(trx, input, owner);
    if (!made) throw new Conflict(`The metadata definition namespace=${input.namespace} already exists.`);
    return made;
  });
}

/** Replaces what is said of a namespace, not what is in it; what is not given goes back to its default. */
export function changeNamespace(d: ImageDeps, ctx: Context, input: NamespaceInput): Promise<NamespaceRow> {
  return transaction(d.rt.db, async trx => {
    const before = await findNamespace(trx, ctx);
    const after = await updateNamespace(trx, before.id, {
      namespace: input.namespace, display_name: input.display_name ?? null, description: input.description ?? null, visibility: input.visibility ?? before.visibility, protected: input.protected ?? before.protected, owner: input.owner ?? before.owner,
    });
    if (!after) throw new Conflict(`The metadata definition namespace=${input.namespace} already exists.`);
    if (input.resource_type_associations) {
      await clearAssociations(trx, after.id);
      for (const a of input.resource_type_associations) await associate(trx, after.id, a);
    }
    return after;
  });
}
