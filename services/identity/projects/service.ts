import { transaction, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, Forbidden, newHexId } from '@cumulet/wire';
import { absent, duplicate, refuseImmutableDelete, refuseImmutableUpdate, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { mergeOptions, split } from '../shapes.ts';
import * as store from './store.ts';
import type { ProjectRow } from './store.ts';

type Body = Readonly<Record<string, unknown>>;
const own = ['name', 'domain_id', 'parent_id', 'is_domain', 'enabled', 'description', 'tags', 'options'] as const;

const conflict = (p: { is_domain: boolean; name: string; id: string }) => duplicate('project', p.is_domain
  ? `it is not permitted to have two projects acting as domains with the same name: ${p.name}`
  : `it is not permitted to have two projects with either the same name or same id in the same domain: name is ${p.name}, project id ${p.id}`);

/** Creates a project, or with `is_domain` a domain. `domainId` is where it belongs; undefined for a domain. */
export function create(identity: Identity, body: Body, domainId: string | undefined, id = newHexId()): Promise<ProjectRow> {
  return transaction(identity.db, trx => insertProject(identity, trx, body, domainId, id));
}

export async function insertProject(identity: Identity, trx: Trx, body: Body, domainId: string | undefined, id: string): Promise<ProjectRow> {
  const { known, extra } = split(body, own);
  const name = String(known.name).trim();
  const is_domain = known.is_domain === true;
  if (is_domain && known.parent_id) throw new BadRequest('only root projects are allowed to act as domains.');
  if (is_domain && name.toLowerCase() === 'federated') throw new BadRequest(`Domain cannot be named ${name}`);
  const parent_id = is_domain ? null : String(known.parent_id ?? domainId);
  if (parent_id !== null) await checkPlace(identity, trx, parent_id, domainId as string);
  const row = {
    id, name, is_domain, parent_id, domain_id: is_domain ? null : domainId as string, enabled: known.enabled !== false, description: String(known.description ?? ''),
    tags: (known.tags as string[] | undefined) ?? [], options: mergeOptions({}, known.options), extra,
  };
  return unlessDuplicate(store.insert(trx, row), () => conflict(row));
}

async function checkPlace(identity: Identity, trx: Trx, parentId: string, domainId: string): Promise<void> {
  // Held, so that the branch is not disabled or deleted while a child is put into it.
  const parent = await store.lock(trx, parentId);
  if (!(await store.findDomain(trx, domainId))) throw new BadRequest(absent('domain', domainId).message);
  if (!parent) throw new BadRequest(absent('project', parentId).message);
  if (parent.is_domain && parent.id !== domainId) throw new BadRequest(`Cannot create project, the parent (${parent.id}) is acting as a domain, but this project's domain id (${domainId}) does not match the parent's id.`);
  if (!parent.is_domain && parent.domain_id !== domainId) throw new BadRequest(`Cannot create project, since it specifies its domain_id ${domainId}, but specifies a parent in a different domain (${parent.domain_id}).`);
  const above = [...await store.parents(trx, parentId), parent];
  const disabled = above.find(p => !p.enabled);
  if (disabled) throw new BadRequest(`cannot create a project in a branch containing a disabled project: ${disabled.id}`);
  // The domain counts as a level; the strict two-level model of limits allows one level of projects below the first.
  const depth = identity.settings.identity.limitModel === 'strict_two_level' ? Math.min(identity.settings.identity.maxProjectTreeDepth, 2) : identity.settings.identity.maxProjectTreeDepth;
  if (above.length > depth) throw new Forbidden(`Max hierarchy depth reached for ${parentId} branch.`);
}

export function update(identity: Identity, current: ProjectRow, body: Body): Promise<ProjectRow> {
  return transaction(identity.db, async trx => {
    const before = await store.lock(trx, current.id);
    if (!before) throw absent(current.is_domain ? 'domain' : 'project', current.id);
    const { known, extra } = split(body, own);
    if (body['id'] !== undefined && body['id'] !== before.id) throw new BadRequest('Cannot change ID');
    if ('domain_id' in known && known.domain_id !== before.domain_id) throw new BadRequest('Cannot change Domain ID');
    refuseImmutableUpdate(before.is_domain ? 'domain' : 'project', before.id, before.options, body);
    if ('parent_id' in known && known.parent_id !== before.parent_id) throw new Forbidden('Update of `parent_id` is not allowed.');
    if ('is_domain' in known && known.is_domain !== before.is_domain) throw new BadRequest('Update of `is_domain` is not allowed.');
    const enabled = known.enabled === undefined ? before.enabled : known.enabled === true;
    if (!before.enabled && enabled && (await store.parents(trx, before.id)).some(p => !p.enabled)) throw new Forbidden(`Cannot enable project ${before.id} since it has disabled parents`);
    if (before.enabled && !enabled) {
      // Disabling a domain disables all that is in it; a project must be the last of its branch.
      if (!before.is_domain && (await store.subtree(trx, before.id)).some(p => p.enabled)) throw new Forbidden(`Cannot disable project ${before.id} since its subtree contains enabled projects.`);
      await identity.revoke(trx, before.is_domain ? { kind: 'revoked', domainId: before.id } : { kind: 'revoked', projectId: before.id });
    }
    const name = known.name === undefined ? before.name : String(known.name).trim();
    return unlessDuplicate(store.update(trx, before.id, {
      name, enabled, ...(known.description === undefined ? {} : { description: String(known.description ?? '') }), ...(known.tags === undefined ? {} : { tags: known.tags as string[] }),
      options: mergeOptions(before.options, known.options), extra: { ...before.extra, ...extra },
    }), () => conflict({ ...before, name }));
  });
}

/** Deletes a project; with `cascade` its disabled subtree too. */
export function remove(identity: Identity, id: string, cascade = false): Promise<void> {
  return transaction(identity.db, async trx => {
    const project = await store.lock(trx, id);
    if (!project) throw absent('project', id);
    if (project.is_domain) return removeDomainIn(identity, trx, project);
    refuseImmutableDelete('project', id, project.options);
    const below = await store.subtree(trx, id);
    if (below.length > 0 && !cascade) throw new Forbidden(`Cannot delete the project ${id} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a whole subtree.`);
    if (below.some(p => p.enabled)) throw new Forbidden(`Cannot delete project ${id} since its subtree contains enabled projects.`);
    const ids = [...below.map(p => p.id), id];
    await refuseInUse(identity, trx, ids);
    for (const one of ids) await identity.revoke(trx, { kind: 'revoked', projectId: one });
    await store.remove(trx, ids);
  });
}

/** Deletes a disabled domain with its users, groups, projects and roles. */
export function removeDomain(identity: Identity, id: string): Promise<void> {
  return transaction(identity.db, async trx => {
    const domain = await store.lock(trx, id);
    if (!domain?.is_domain) throw absent('domain', id);
    await removeDomainIn(identity, trx, domain);
  });
}
async function removeDomainIn(identity: Identity, trx: Trx, domain: ProjectRow): Promise<void> {
  refuseImmutableDelete('domain', domain.id, domain.options);
  if (domain.enabled) throw new Forbidden('Cannot delete a domain that is enabled, please disable it first.');
  const projects = (await store.subtree(trx, domain.id)).map(p => p.id);
  await refuseInUse(identity, trx, projects);
  await identity.revoke(trx, { kind: 'revoked', domainId: domain.id });
  await trx('credentials').whereIn('user_id', trx('users').where({ domain_id: domain.id }).select('id')).delete();
  await store.remove(trx, projects);
  await trx('role_assignments').where({ domain_id: domain.id }).delete();
  await store.remove(trx, [domain.id]);
}

/** keystone deletes the project and leaves what it owned to nobody; we name what is still there instead. */
async function refuseInUse(identity: Identity, trx: Trx, ids: readonly string[]): Promise<void> {
  if (identity.settings.identity.deleteProjectsInUse) return;
  const held = Object.entries(await store.inventory(trx, ids));
  if (held.length > 0) throw new Conflict(`The project still owns resources and cannot be deleted: ${held.map(([what, n]) => `${n} ${what}`).join(', ')}.`);
}
