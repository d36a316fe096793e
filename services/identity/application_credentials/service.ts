import type { Caller } from '@cumulet/auth';
import { transaction, type Trx } from '@cumulet/db';
import { BadRequest, Forbidden, newHexId } from '@cumulet/wire';
import { effectiveRoles, withImplied, type RoleRef } from '../assignments/effective.ts';
import { absent, duplicate, forbidden, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { futureTime } from '../times.ts';
import type { RoleBody, RuleBody } from './schemas.ts';
import { find, hashSecret, newSecret, type AppCredRow } from './store.ts';

export interface NewAppCred {
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly secret?: string | null | undefined;
  readonly expires_at?: string | null | undefined;
  readonly unrestricted?: boolean | null | undefined;
  readonly roles?: readonly RoleBody[] | undefined;
  readonly access_rules?: readonly RuleBody[] | undefined;
}

/** Creates a credential for the caller, in the caller's project. The secret is in the answer and nowhere else. */
export async function create(identity: Identity, caller: Caller, userId: string, body: NewAppCred): Promise<{ row: AppCredRow; secret: string }> {
  refuseDelegated(caller);
  refuseRestricted(caller);
  if (caller.userId !== userId) throw forbidden('Cannot create an application credential for another user.');
  if (caller.projectId === undefined) throw new BadRequest('Project field is required and cannot be empty.');
  const projectId = caller.projectId;
  const expires_at = futureTime(body.expires_at, identity.clock());
  const chosen = typeof body.secret === 'string' && body.secret !== '';
  const secret = chosen ? body.secret as string : newSecret();
  const secret_hash = await hashSecret(identity, secret, chosen);
  const row = await transaction(identity.db, async trx => {
    await refuseTooMany(identity, trx, userId);
    const roles = await rolesFor(trx, caller, projectId, body.roles);
    const made = { id: newHexId(), user_id: userId, project_id: projectId, name: body.name, description: body.description ?? null, secret_hash, unrestricted: body.unrestricted === true, expires_at };
    await unlessDuplicate(trx('application_credentials').insert(made), () => duplicate('application_credential', `Duplicate entry found with name ${body.name}`));
    await trx('application_credential_roles').insert(roles.map(r => ({ application_credential_id: made.id, role_id: r.id })));
    for (const rule of body.access_rules ?? []) await trx('application_credential_access_rules').insert({ application_credential_id: made.id, access_rule_id: await ruleId(trx, userId, rule) }).onConflict().ignore();
    return await find(trx, made.id) as AppCredRow;
  });
  return { row, secret };
}

/** Never more than the token has: it may itself be a delegation. */
async function rolesFor(trx: Trx, caller: Caller, projectId: string, asked: readonly RoleBody[] | undefined): Promise<RoleRef[]> {
  const held = await effectiveRoles(trx, caller.userId, { project: projectId });
  const mine = held.filter(r => caller.roles.includes(r.name));
  if (!asked || asked.length === 0) return mine;
  const ids: string[] = [];
  for (const { id, name } of asked) {
    if (id !== undefined) {
      if (!(await trx('roles').where({ id }).first('id'))) throw absent('role', id);
      ids.push(id);
      continue;
    }
    const found: { id: string }[] = await trx('roles').where({ name }).select('id');
    if (found.length > 1) throw new BadRequest(`There are multiple role entities named '${name}'. Please use ID instead of names to resolve the ambiguity.`);
    if (!found[0]) throw absent('role', name as string);
    ids.push(found[0].id);
  }
  const whole = await withImplied(trx, ids);
  if (ids.some(id => !mine.some(r => r.id === id)) || whole.some(w => !mine.some(r => r.id === w.id))) throw new BadRequest('Invalid application credential: Cannot create an application credential with unassigned role');
  return whole;
}

/** A rule by its id must be the user's own; one by its words is made once and used again. */
async function ruleId(trx: Trx, userId: string, rule: RuleBody): Promise<string> {
  if (rule.id !== undefined && rule.path === undefined) {
    if (!(await trx('access_rules').where({ id: rule.id, user_id: userId }).first('id'))) throw absent('access rule', rule.id);
    return rule.id;
  }
  if (rule.service === undefined || rule.method === undefined || rule.path === undefined) throw new BadRequest("Invalid input for field 'access_rules': service, method and path are required");
  const words = { user_id: userId, service: rule.service, method: rule.method, path: rule.path };
  await trx('access_rules').insert({ id: newHexId(), ...words }).onConflict(['user_id', 'service', 'method', 'path']).ignore();
  const row: { id: string } | undefined = await trx('access_rules').where(words).first('id');
  return (row as { id: string }).id;
}

async function refuseTooMany(identity: Identity, trx: Trx, userId: string): Promise<void> {
  const limit = identity.settings.identity.applicationCredentialsPerUser;
  if (limit < 0) return;
  await trx('users').where({ id: userId }).forUpdate().first('id');
  const [count] = await trx('application_credentials').where({ user_id: userId }).count<{ count: number }[]>('id as count');
  if ((count?.count ?? 0) >= limit) throw new Forbidden(`Unable to create additional application credentials, maximum of ${limit} already exceeded for user.`);
}

export const remove = (identity: Identity, id: string): Promise<void> => transaction(identity.db, async trx => {
  if (await trx('application_credentials').where({ id }).delete() === 0) throw absent('application credential', id);
  await identity.revoke(trx, { kind: 'revoked', appCredId: id });
});

/** What a trust lends ends with the trust; an application credential made from it would not (keystone LP 2148477 and kin). */
export function refuseDelegated(caller: Caller): void {
  if (caller.trustId !== undefined) throw forbidden();
}
/** A restricted credential makes and deletes no others. */
export function refuseRestricted(caller: Caller): void {
  if (caller.appCredId !== undefined && caller.restricted) throw forbidden("Using method 'application_credential' is not allowed for managing additional application credentials.");
}
