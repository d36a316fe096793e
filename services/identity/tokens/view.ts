import type { Claims } from '@cumulet/auth';
import { microsZ, NotFound, orNull } from '@cumulet/wire';
import { accessRulesOf } from '../application_credentials/store.ts';
import { rolesOf } from '../assignments/effective.ts';
import { catalogFor } from '../catalog/catalog.ts';
import type { Identity } from '../identity.ts';
import { find as findTrust } from '../trusts/store.ts';

interface Named { readonly id: string; readonly name: string; readonly domain_id: string; readonly domain_name: string }

/** A token in the words of the API: names and ids that the token itself does not carry, and the catalogue as it is now. */
export async function tokenView(identity: Identity, claims: Claims, o: { catalog: boolean }): Promise<object> {
  const { db } = identity;
  const scoped = claims.p !== undefined || claims.d !== undefined || claims.s !== undefined;
  const [user, project, domain, roles, catalog, trust, appCred] = await Promise.all([
    userNamed(identity, claims.u),
    claims.p === undefined ? undefined : named(identity, 'projects', claims.p),
    claims.d === undefined ? undefined : db('projects').where({ id: claims.d }).first('id', 'name') as Promise<{ id: string; name: string } | undefined>,
    scoped ? rolesOf(db, { userId: claims.u, projectId: claims.p, domainId: claims.d, ...(claims.s ? { systemScope: 'all' as const } : {}), ...(claims.t ? { trustId: claims.t[0] } : {}), ...(claims.ac ? { appCredId: claims.ac } : {}) }) : [],
    o.catalog && scoped ? catalogFor(db, { userId: claims.t?.[1] ?? claims.u, projectId: claims.p }) : undefined,
    claims.t ? findTrust(db, claims.t[0]) : undefined,
    claims.ac === undefined ? undefined : db('application_credentials').where({ id: claims.ac }).first('id', 'name', 'unrestricted') as Promise<{ id: string; name: string; unrestricted: boolean } | undefined>,
  ]);
  if (!user || !roles) throw new NotFound('Failed to validate token');
  const rules = appCred ? await accessRulesOf(db, appCred.id) : [];
  return {
    token: {
      methods: claims.m,
      user: { domain: { id: user.domain_id, name: user.domain_name }, id: user.id, name: user.name, password_expires_at: orNull(microsZ)(user.password_expires_at) },
      audit_ids: claims.a, expires_at: microsZ(new Date(claims.e * 1000)), issued_at: microsZ(new Date(claims.i * 1000)),
      ...(project ? { project: { domain: { id: project.domain_id, name: project.domain_name }, id: project.id, name: project.name }, ...(trust ? {} : { is_domain: false }) } : {}),
      ...(domain ? { domain } : {}), ...(claims.s ? { system: { all: true } } : {}), ...(scoped ? { roles: roles.map(r => ({ id: r.id, name: r.name })) } : {}),
      ...(trust && claims.t ? { 'OS-TRUST:trust': { id: trust.id, trustor_user: { id: claims.t[1] }, trustee_user: { id: claims.t[2] }, impersonation: trust.impersonation } } : {}),
      ...(catalog ? { catalog } : {}),
      ...(appCred ? { application_credential: { id: appCred.id, name: appCred.name, restricted: !appCred.unrestricted, ...(rules.length > 0 ? { access_rules: rules } : {}) } } : {}),
    },
  };
}

const named = (identity: Identity, table: 'projects' | 'users', id: string): Promise<Named | undefined> =>
  identity.db(`${table} as t`).join('projects as d', 'd.id', 't.domain_id').where('t.id', id).first('t.id', 't.name', 't.domain_id', { domain_name: 'd.name' });
async function userNamed(identity: Identity, id: string): Promise<(Named & { password_expires_at: Date | null }) | undefined> {
  const user = await named(identity, 'users', id);
  if (!user) return undefined;
  const password: { expires_at: Date | null } | undefined = await identity.db('passwords').where({ user_id: id }).orderBy('id', 'desc').first('expires_at');
  return { ...user, password_expires_at: password?.expires_at ?? null };
}
