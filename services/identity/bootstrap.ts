import { ensureKeys } from '@cumulet/auth';
import { services as serviceTable, type ServiceName } from '@cumulet/config';
import { transaction, type Trx } from '@cumulet/db';
import { serviceUrl, type Runtime } from '@cumulet/service';
import { newHexId } from '@cumulet/wire';
import { type Identity, openIdentity } from './identity.ts';
import { applyUsersFile } from './users_file.ts';

export interface Seed {
  /** Of the users that every cloud starts with. */
  readonly passwords: { readonly admin: string; readonly demo: string; readonly service: string };
  /** Path behind the address of a service in the catalogue, where it is not the plain address. */
  readonly paths?: Partial<Record<ServiceName, string>>;
  /** Services that this cloud runs; all of them unless said otherwise. */
  readonly services?: readonly ServiceName[];
}
export interface Bootstrapped {
  readonly projects: { readonly admin: string; readonly demo: string; readonly service: string };
  readonly users: { readonly admin: string; readonly demo: string; readonly service: string };
  /** True when the cloud was new. */
  readonly first: boolean;
}

const immutable = JSON.stringify({ immutable: true });
const defaultPaths: Partial<Record<ServiceName, string>> = { identity: '/v3', compute: '/v2.1', volume: '/v3/$(project_id)s' };

/**
 * Brings a database to where a cloud can be used: domain, projects, users, roles, catalogue, keys. May be run at every start: what is there
 * stays as it is, only the catalogue follows the settings.
 */
export async function bootstrap(rt: Runtime, seed: Seed): Promise<Bootstrapped> {
  const identity = await openIdentity(rt);
  const known: string[] = await rt.db('users').where({ domain_id: 'default' }).whereIn('name', Object.keys(seed.passwords)).pluck('name');
  // Hashing is slow by design; it is done before the transaction and only for who is new.
  const hashes = new Map(await Promise.all(Object.entries(seed.passwords).filter(([name]) => !known.includes(name)).map(async ([name, password]) => [name, await identity.hasher.hash(password)] as const)));
  const result = await transaction(rt.db, async trx => {
    await trx.raw('select pg_advisory_xact_lock(7264004)');
    const first = (await trx('projects').where({ id: 'default' }).first('id')) === undefined;
    await ensureKeys(trx, rt.sealer);
    await trx('projects').insert({ id: 'default', name: 'Default', is_domain: true, description: 'The default domain' }).onConflict('id').ignore();
    const roles = await ensureRoles(trx);
    const projects = {
      admin: await ensureProject(trx, 'admin', 'Bootstrap project for initializing the cloud.'), demo: await ensureProject(trx, 'demo', ''), service: await ensureProject(trx, 'service', ''),
    };
    const users = { admin: await ensureUser(trx, identity, 'admin', hashes), demo: await ensureUser(trx, identity, 'demo', hashes), service: await ensureUser(trx, identity, 'service', hashes) };
    if (first) {
      await grant(trx, roles, [
        ['admin', { user_id: users.admin, project_id: projects.admin }], ['admin', { user_id: users.admin, on_system: true }],
        ['member', { user_id: users.demo, project_id: projects.demo }],
        ['service', { user_id: users.service, project_id: projects.service }], ['admin', { user_id: users.service, project_id: projects.service }],
      ]);
    }
    await ensureCatalog(trx, rt, seed);
    return { projects, users, first };
  });
  await rt.keys.refresh();
  if (result.first && rt.settings.identity.usersFile !== undefined) await applyUsersFile(identity, rt.settings.identity.usersFile);
  return result;
}

/** keystone's own roles: each implies the next, and none can be changed by accident. */
async function ensureRoles(trx: Trx): Promise<Map<string, string>> {
  const chain = ['admin', 'manager', 'member', 'reader'];
  for (const name of [...chain, 'service']) {
    if (!(await trx('roles').where({ name }).whereNull('domain_id').first('id'))) await trx('roles').insert({ id: newHexId(), name, options: immutable });
  }
  const rows: { id: string; name: string }[] = await trx('roles').whereNull('domain_id').whereIn('name', [...chain, 'service']).select('id', 'name');
  const ids = new Map(rows.map(r => [r.name, r.id]));
  for (const [i, name] of chain.entries()) {
    const next = chain[i + 1];
    if (next !== undefined) await trx('implied_roles').insert({ prior_role_id: ids.get(name), implied_role_id: ids.get(next) }).onConflict().ignore();
  }
  return ids;
}

async function ensureProject(trx: Trx, name: string, description: string): Promise<string> {
  const row: { id: string } | undefined = await trx('projects').where({ domain_id: 'default', name }).first('id');
  if (row) return row.id;
  const id = newHexId();
  await trx('projects').insert({ id, name, domain_id: 'default', parent_id: 'default', description });
  return id;
}

async function ensureUser(trx: Trx, identity: Identity, name: string, hashes: ReadonlyMap<string, string>): Promise<string> {
  const row: { id: string } | undefined = await trx('users').where({ domain_id: 'default', name }).first('id');
  if (row) return row.id;
  const id = newHexId();
  await trx('users').insert({ id, domain_id: 'default', name, created_at: new Date(identity.clock()) });
  await trx('passwords').insert({ user_id: id, hash: hashes.get(name), created_at: new Date(identity.clock()) });
  return id;
}

async function grant(trx: Trx, roles: ReadonlyMap<string, string>, grants: readonly (readonly [string, object])[]): Promise<void> {
  for (const [role, where] of grants) await trx('role_assignments').insert({ role_id: roles.get(role), ...where }).onConflict().ignore();
}

/** One service and three endpoints for each type; addresses follow the settings. */
async function ensureCatalog(trx: Trx, rt: Runtime, seed: Seed): Promise<void> {
  await trx('regions').insert({ id: rt.settings.region }).onConflict('id').ignore();
  for (const key of seed.services ?? (Object.keys(serviceTable) as ServiceName[])) {
    const { types, name } = serviceTable[key];
    const url = `${serviceUrl(rt.settings, key)}${seed.paths?.[key] ?? defaultPaths[key] ?? ''}`;
    for (const type of types) {
      // Clients of old look for cinderv3 by that name.
      const label = type === 'volumev3' ? `${name}v3` : name;
      const row: { id: string } | undefined = await trx('services').where({ type }).first('id');
      const serviceId = row?.id ?? newHexId();
      if (!row) await trx('services').insert({ id: serviceId, type, extra: JSON.stringify({ name: label }) });
      for (const iface of ['admin', 'internal', 'public']) {
        const at = { service_id: serviceId, interface: iface, region_id: rt.settings.region };
        const updated = await trx('endpoints').where(at).update({ url });
        if (updated === 0) await trx('endpoints').insert({ id: newHexId(), ...at, url });
      }
    }
  }
}
