import { brokenReference, transaction, type Trx } from '@cumulet/db';
import { Forbidden, newHexId } from '@cumulet/wire';
import { absentLimit, duplicate, expected, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { region as findRegion, service as findService } from '../catalog/store.ts';
import { find as findProject, findDomain } from '../projects/store.ts';
import type { NewLimit } from './schemas.ts';
import { find, limits, type LimitRow, type RegisteredRow } from './store.ts';

const invalid = (reason: string) => new Forbidden(`Invalid resource limit: ${reason}.`);

async function mustBeThere(trx: Trx, of: { service_id?: string | undefined; region_id?: string | null | undefined }, target: string): Promise<void> {
  if (of.service_id !== undefined && !(await findService(trx, of.service_id))) throw expected('service_id', target);
  if (of.region_id != null && !(await findRegion(trx, of.region_id))) throw expected('region_id', target);
}

export const register = (identity: Identity, asked: readonly Omit<RegisteredRow, 'id' | 'region_id' | 'description'>[]): Promise<RegisteredRow[]> => transaction(identity.db, async trx => {
  const made: RegisteredRow[] = [];
  for (const one of asked) {
    await mustBeThere(trx, one, 'registered_limit');
    const [row] = await unlessDuplicate(trx('registered_limits').insert({ id: newHexId(), region_id: null, description: null, ...one }).returning<RegisteredRow[]>('*'), () => duplicate('registered_limit', 'Duplicate entry'));
    made.push(row as RegisteredRow);
  }
  return made;
});

/** What projects' limits hang on may change its amount and words only. */
export const updateRegistered = (identity: Identity, id: string, change: Partial<RegisteredRow>): Promise<RegisteredRow> => transaction(identity.db, async trx => {
  await mustBeThere(trx, change, 'registered_limit');
  const before: RegisteredRow | undefined = await trx('registered_limits').where({ id }).forUpdate().first();
  if (!before) throw absentLimit('registered limit', id);
  const moves = (['service_id', 'region_id', 'resource_name'] as const).some(k => change[k] !== undefined && change[k] !== before[k]);
  if (moves && await trx('limits').where({ registered_limit_id: id }).first('id')) throw inUse(id);
  if (Object.keys(change).length === 0) return before;
  const [row] = await unlessDuplicate(trx('registered_limits').where({ id }).update(change).returning<RegisteredRow[]>('*'), () => duplicate('registered_limit', 'Duplicate entry'));
  return row as RegisteredRow;
});
const inUse = (id: string) => new Forbidden(`Unable to update or delete registered limit ${id} because there are project limits associated with it.`);

export async function removeRegistered(identity: Identity, id: string): Promise<void> {
  try {
    if (await identity.db('registered_limits').where({ id }).delete() === 0) throw absentLimit('registered limit', id);
  } catch (error) {
    if (brokenReference(error)) throw inUse(id);
    throw error;
  }
}

export const create = (identity: Identity, asked: readonly NewLimit[]): Promise<LimitRow[]> => transaction(identity.db, async trx => {
  const made: LimitRow[] = [];
  // A domain's own limit first, so that its projects' limits in the same call are held against it.
  for (const one of asked.toSorted((a, b) => Number(a.project_id !== undefined) - Number(b.project_id !== undefined))) {
    await mustBeThere(trx, one, 'limit');
    const place = await placeOf(trx, one);
    const registered: RegisteredRow | undefined = await trx('registered_limits').where({ service_id: one.service_id, resource_name: one.resource_name, region_id: one.region_id ?? null }).first();
    if (!registered) throw new Forbidden('Unable to create a limit that has no corresponding registered limit.');
    await checkTree(identity, trx, registered, place, one.resource_limit);
    const id = newHexId();
    await unlessDuplicate(trx('limits').insert({ id, registered_limit_id: registered.id, ...place, resource_limit: one.resource_limit, description: one.description ?? null }), () => duplicate('limit', 'Duplicate entry'));
    made.push(await find(trx, id) as LimitRow);
  }
  return made;
});

interface Place { readonly project_id: string | null; readonly domain_id: string | null }
/** A project that acts as a domain is one. */
async function placeOf(trx: Trx, asked: NewLimit): Promise<Place> {
  if (asked.project_id !== undefined) {
    const project = await findProject(trx, asked.project_id);
    if (!project) throw expected('project_id', 'limit');
    return project.is_domain ? { project_id: null, domain_id: project.id } : { project_id: project.id, domain_id: null };
  }
  if (!(await findDomain(trx, asked.domain_id as string))) throw expected('domain_id', 'limit');
  return { project_id: null, domain_id: asked.domain_id as string };
}

/** In the strict two-level model no project may have more than its domain. */
async function checkTree(identity: Identity, trx: Trx, registered: RegisteredRow, place: Place, amount: number): Promise<void> {
  if (identity.settings.identity.limitModel !== 'strict_two_level') return;
  if (place.project_id !== null) {
    const project = await findProject(trx, place.project_id);
    const above: LimitRow | undefined = await limits(trx).where({ registered_limit_id: registered.id, 'limits.domain_id': project?.domain_id }).first();
    if (amount > (above?.resource_limit ?? registered.default_limit)) throw invalid('Limit is bigger than parent.');
    return;
  }
  const below: LimitRow | undefined = await limits(trx).where({ registered_limit_id: registered.id }).whereIn('limits.project_id', trx('projects').where({ domain_id: place.domain_id }).select('id')).where('resource_limit', '>', amount).first();
  if (below) throw invalid('Limit is smaller than child.');
}

export const update = (identity: Identity, id: string, change: { resource_limit?: number | undefined; description?: string | null | undefined }): Promise<LimitRow> => transaction(identity.db, async trx => {
  const before = await find(trx, id);
  if (!before) throw absentLimit('limit', id);
  if (change.resource_limit !== undefined) await checkTree(identity, trx, await trx('registered_limits').where({ id: before.registered_limit_id }).first() as RegisteredRow, before, change.resource_limit);
  if (Object.keys(change).length > 0) await trx('limits').where({ id }).update(change);
  return await find(trx, id) as LimitRow;
});
