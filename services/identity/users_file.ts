import { readFile } from 'node:fs/promises';
import { transaction, type Trx } from '@cumulet/db';
import { newHexId } from '@cumulet/wire';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Identity } from './identity.ts';

const name = z.string().min(1).max(255);
const assignment = z.strictObject({ role: name, project: name.optional(), domain: name.optional(), system: z.literal(true).optional() })
  .refine(a => (a.system ? a.project === undefined && a.domain === undefined : a.project !== undefined || a.domain !== undefined), { error: 'a role is for a project, a domain or the system' });
const fileSchema = z.strictObject({
  domains: z.array(z.strictObject({ name, description: z.string().default('') })).default([]),
  projects: z.array(z.strictObject({ name, domain: name.default('Default'), parent: name.optional(), description: z.string().default(''), tags: z.array(z.string()).default([]) })).default([]),
  roles: z.array(z.strictObject({ name, implies: z.array(name).default([]) })).default([]),
  groups: z.array(z.strictObject({ name, domain: name.default('Default'), description: z.string().default(''), roles: z.array(assignment).default([]) })).default([]),
  users: z.array(z.strictObject({
    name, domain: name.default('Default'), email: z.string().optional(), description: z.string().optional(), enabled: z.boolean().default(true),
    /** In clear, or as keystone's bcrypt hash. */
    password: z.string().optional(), password_hash: z.string().regex(/^\$2[aby]\$\d{2}\$.{53}$/, { error: 'is not a bcrypt hash' }).optional(),
    default_project: name.optional(), groups: z.array(name).default([]), roles: z.array(assignment).default([]),
  })).default([]),
});
type Assignment = z.output<typeof assignment>;

/** A users file that cannot be used; the message names the file and the place. */
export class UsersFileError extends Error { override name = 'UsersFileError'; }

/** Fills a new cloud from an operator's YAML file, in one transaction: all of it or nothing. */
export async function applyUsersFile(identity: Identity, path: string): Promise<void> {
  const parsed = fileSchema.safeParse(parse(await readFile(path, 'utf8')) ?? {});
  if (!parsed.success) throw new UsersFileError(`${path}: ${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`);
  const file = parsed.data;
  const hashes = new Map<object, string>();
  for (const user of file.users) {
    if (user.password_hash !== undefined) hashes.set(user, user.password_hash);
    else if (user.password !== undefined) hashes.set(user, await identity.hasher.hash(user.password));
  }
  await transaction(identity.db, async trx => {
    for (const d of file.domains) await trx('projects').insert({ id: newHexId(), name: d.name, is_domain: true, description: d.description });
    const find = finder(trx, path);
    for (const p of file.projects) {
      const domainId = await find('domain', p.domain);
      await trx('projects').insert({ id: newHexId(), name: p.name, domain_id: domainId, parent_id: p.parent === undefined ? domainId : await find('project', p.parent, domainId), description: p.description, tags: p.tags });
    }
    for (const r of file.roles) await trx('roles').insert({ id: newHexId(), name: r.name });
    for (const r of file.roles) for (const implied of r.implies) await trx('implied_roles').insert({ prior_role_id: await find('role', r.name), implied_role_id: await find('role', implied) });
    for (const g of file.groups) {
      const domainId = await find('domain', g.domain);
      const id = newHexId();
      await trx('groups').insert({ id, name: g.name, domain_id: domainId, description: g.description });
      await assign(trx, find, { group_id: id }, g.roles, domainId);
    }
    for (const u of file.users) {
      const domainId = await find('domain', u.domain);
      const id = newHexId();
      const extra = { ...(u.email === undefined ? {} : { email: u.email }), ...(u.description === undefined ? {} : { description: u.description }) };
      await trx('users').insert({ id, name: u.name, domain_id: domainId, enabled: u.enabled, extra: JSON.stringify(extra), default_project_id: u.default_project === undefined ? null : await find('project', u.default_project, domainId) });
      const hash = hashes.get(u);
      if (hash !== undefined) await trx('passwords').insert({ user_id: id, hash });
      for (const g of u.groups) await trx('group_members').insert({ group_id: await find('group', g, domainId), user_id: id });
      await assign(trx, find, { user_id: id }, u.roles, domainId);
    }
  });
}

type Find = (kind: 'domain' | 'project' | 'role' | 'group', name: string, domainId?: string) => Promise<string>;
function finder(trx: Trx, path: string): Find {
  return async (kind, wanted, domainId) => {
    const where = { domain: { is_domain: true, name: wanted }, project: { name: wanted, domain_id: domainId }, role: { name: wanted, domain_id: null }, group: { name: wanted, domain_id: domainId } }[kind];
    const row: { id: string } | undefined = await trx({ domain: 'projects', project: 'projects', role: 'roles', group: 'groups' }[kind]).where(where).first('id');
    if (!row) throw new UsersFileError(`${path}: there is no ${kind} ${wanted}`);
    return row.id;
  };
}
async function assign(trx: Trx, find: Find, actor: object, roles: readonly Assignment[], homeDomain: string): Promise<void> {
  for (const a of roles) {
    const domainId = a.domain === undefined ? homeDomain : await find('domain', a.domain);
    const target = a.system ? { on_system: true } : a.project === undefined ? { domain_id: domainId } : { project_id: await find('project', a.project, domainId) };
    await trx('role_assignments').insert({ role_id: await find('role', a.role), ...actor, ...target });
  }
}
