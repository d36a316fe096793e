import { brokenReference, duplicateOf, transaction, type Db, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, NotFound } from '@cumulet/wire';
import { COMPUTE_TRAITS } from '../providers/store.ts';
import { STANDARD_CLASSES, STANDARD_TRAITS } from './names.ts';

export interface Named { readonly name: string; readonly changedAt: Date | undefined }
const named = async (db: Trx, table: string): Promise<Named[]> => (await db(table).orderBy('changed_at').orderBy('name').select('name', 'changed_at') as { name: string; changed_at: Date }[]).map(r => ({ name: r.name, changedAt: r.changed_at }));

/** Every class: the ones that have a name upstream, then the custom ones. */
export const listClasses = async (db: Trx): Promise<Named[]> => [...STANDARD_CLASSES.map(name => ({ name, changedAt: undefined })), ...await named(db, 'placement_classes')];
/** Every trait: upstream's, custom ones, and what hosts say of themselves. */
export async function listTraits(db: Trx): Promise<Named[]> {
  const { rows } = await db.raw(`select distinct t.trait from compute_hosts h, jsonb_array_elements_text(case when jsonb_typeof(h.facts -> 'traits') = 'array' then h.facts -> 'traits' else '[]' end) t (trait) where not h.deleted`);
  const custom = await named(db, 'placement_traits');
  const known = new Set([...STANDARD_TRAITS, ...COMPUTE_TRAITS, ...(rows as { trait: string }[]).map(r => r.trait)]);
  return [...[...known].filter(name => !custom.some(t => t.name === name)).map(name => ({ name, changedAt: undefined })), ...custom].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The first of these that is no class of this cloud. `held`: those that are there stay until the transaction ends. */
export async function unknownClass(db: Trx, names: readonly string[], held?: 'held'): Promise<string | undefined> {
  return (await withoutCustom(db, 'placement_classes', names.filter(n => !STANDARD_CLASSES.includes(n)), held))[0];
}
/** Those of these that are no traits of this cloud. */
export async function unknownTraits(db: Trx, names: readonly string[], held?: 'held'): Promise<string[]> {
  const odd = await withoutCustom(db, 'placement_traits', names.filter(n => !STANDARD_TRAITS.has(n)), held);
  if (odd.length === 0) return [];
  const known = new Set((await listTraits(db)).map(t => t.name));
  return odd.filter(n => !known.has(n));
}
async function withoutCustom(db: Trx, table: string, names: readonly string[], held?: 'held'): Promise<string[]> {
  if (names.length === 0) return [];
  const query = db(table).whereIn('name', names).orderBy('name').select('name');
  const known = new Set((await (held ? query.forKeyShare() : query) as { name: string }[]).map(r => r.name));
  return names.filter(n => !known.has(n));
}

/** False when there is one already. */
export async function makeNamed(db: Trx, table: 'placement_classes' | 'placement_traits', name: string): Promise<boolean> {
  return (await db(table).insert({ name }).onConflict('name').ignore().returning('name')).length === 1;
}

const noClass = (name: string) => new NotFound(`No such resource class ${name}.`);
/** @throws 404, or 400 of a standard one */
export async function customClass(db: Trx, name: string, standard: string): Promise<void> {
  if (STANDARD_CLASSES.includes(name)) throw new BadRequest(standard);
  if (!await db('placement_classes').where({ name }).first('name')) throw noClass(name);
}
const heldByServers = async (db: Trx, name: string): Promise<boolean> => await db('allocations').whereRaw('jsonb_exists(resources, ?)', [name]).first('server_id') !== undefined;

/** Until 1.6 a class could get another name; everything of it has the new one. Servers ask for classes by name: one that they hold keeps its own. */
export async function renameClass(db: Db, name: string, to: string): Promise<void> {
  try {
    await transaction(db, async trx => {
      await customClass(trx, name, `Cannot update standard resource class ${name}`);
      if (name === to) return;
      await trx('placement_classes').where({ name }).forUpdate().first('name');
      if (await heldByServers(trx, name)) throw new Conflict(`Cannot rename resource class ${name}. Class is in use by servers.`);
      await trx('placement_classes').insert({ name: to });
      for (const table of ['placement_inventories', 'placement_allocations']) await trx(table).where({ class: name }).update({ class: to });
      await trx('placement_classes').where({ name }).delete();
    });
  } catch (error) {
    throw duplicateOf(error) === 'placement_classes_pkey' ? new Conflict(`Resource class already exists: ${to}`) : error;
  }
}

export async function deleteClass(db: Trx, name: string): Promise<void> {
  await customClass(db, name, `Error in delete resource class: Cannot delete standard resource class ${name}.`);
  try {
    if (await db('placement_classes').where({ name }).delete() === 0) throw noClass(name);
  } catch (error) {
    throw brokenReference(error) === undefined ? error : new Conflict(`Error in delete resource class: Cannot delete resource class ${name}. Class is in use in inventory.`);
  }
}

export async function deleteTrait(db: Trx, name: string): Promise<void> {
  const inUse = new Conflict(`The trait ${name} is in use by a resource provider.`);
  const absent = new NotFound(`No such trait(s): ${name}.`);
  try {
    if (await db('placement_traits').where({ name }).delete() > 0) return;
  } catch (error) {
    throw brokenReference(error) === undefined ? error : inUse;
  }
  if (!(await listTraits(db)).some(t => t.name === name)) throw absent;
  throw name.startsWith('CUSTOM_') ? inUse : new BadRequest(`Cannot delete standard trait ${name}.`);
}
