import type { Claims } from '@cumulet/auth';
import { microsZ, orNull } from '@cumulet/wire';
import { accessRulesOf } from '../application_credentials/store.ts';
import { absentToken } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { find as findTrust } from '../trusts/store.ts';

interface Names {
  readonly user_name: string; readonly user_domain_name: string; readonly password_expires_at: Date | null;
  readonly project_name: string | null; readonly project_domain_name: string | null; readonly domain_name: string | null;
  readonly roles: readonly { readonly id: string; readonly name: string }[] | null;
}

/**
 * A token in the words of the API: names and ids that the token itself does not carry, in one query, and the catalogue as it is now.
 * `roles` are those that the token has at present.
 */
export async function tokenView(identity: Identity, claims: Claims, roles: readonly string[], o: { catalog: boolean }): Promise<object> {
  const scoped = claims.p !== undefined || claims.d !== undefined || claims.s !== undefined;
  const [names, catalog, delegation] = await Promise.all([
    namesOf(identity, claims, roles),
    o.catalog && scoped ? identity.catalog.for({ userId: claims.t?.[1] ?? claims.u, projectId: claims.p }) : undefined,
    delegationView(identity, claims),
  ]);
  if (!names || (claims.p !== undefined && names.project_name === null)) throw absentToken();
  return {
    token: {
      methods: claims.m,
      user: { domain: { id: claims.ud, name: names.user_domain_name }, id: claims.u, name: names.user_name, password_expires_at: orNull(microsZ)(names.password_expires_at) },
      audit_ids: claims.a, expires_at: microsZ(new Date(claims.e * 1000)), issued_at: microsZ(new Date(claims.i * 1000)),
      ...(claims.p === undefined ? {} : { project: { domain: { id: claims.pd, name: names.project_domain_name }, id: claims.p, name: names.project_name }, ...(claims.t ? {} : { is_domain: false }) }),
      ...(claims.d === undefined ? {} : { domain: { id: claims.d, name: names.domain_name } }), ...(claims.s ? { system: { all: true } } : {}), ...(scoped ? { roles: names.roles ?? [] } : {}),
      ...(catalog ? { catalog } : {}), ...delegation,
    },
  };
}

async function namesOf(identity: Identity, claims: Claims, roles: readonly string[]): Promise<Names | undefined> {
  const result: { rows: Names[] } = await identity.db.raw(`select u.name as user_name, ud.name as user_domain_name,
      (select expires_at from passwords where user_id = u.id order by id desc limit 1) as password_expires_at,
      p.name as project_name, pd.name as project_domain_name, d.name as domain_name,
      (select json_agg(json_build_object('id', r.id, 'name', r.name) order by r.name) from roles r where r.domain_id is null and r.name = any(:roles)) as roles
    from users u join projects ud on ud.id = u.domain_id left join projects p on p.id = :project left join projects pd on pd.id = p.domain_id left join projects d on d.id = :domain
    where u.id = :user`, { user: claims.u, project: claims.p ?? null, domain: claims.d ?? null, roles: [...roles] });
  return result.rows[0];
}

/** What the token was lent by: a trust or an application credential. */
async function delegationView(identity: Identity, claims: Claims): Promise<object> {
  const trust = claims.t ? await findTrust(identity.db, claims.t[0]) : undefined;
  const appCred: { id: string; name: string; unrestricted: boolean } | undefined = claims.ac === undefined ? undefined : await identity.db('application_credentials').where({ id: claims.ac }).first('id', 'name', 'unrestricted');
  const rules = appCred ? await accessRulesOf(identity.db, appCred.id) : [];
  return {
    ...(trust && claims.t ? { 'OS-TRUST:trust': { id: trust.id, trustor_user: { id: claims.t[1] }, trustee_user: { id: claims.t[2] }, impersonation: trust.impersonation } } : {}),
    ...(appCred ? { application_credential: { id: appCred.id, name: appCred.name, restricted: !appCred.unrestricted, ...(rules.length > 0 ? { access_rules: rules } : {}) } } : {}),
  };
}
