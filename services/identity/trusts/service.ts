import type { Caller } from '@cumulet/auth';
import { transaction, type Trx } from '@cumulet/db';
import { BadRequest, Forbidden, newHexId, Unauthorized } from '@cumulet/wire';
import { effectiveRoles } from '../assignments/effective.ts';
import { absent, forbidden } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { find as findProject } from '../projects/store.ts';
import { split } from '../shapes.ts';
import { futureTime } from '../times.ts';
import { find as findUser } from '../users/store.ts';
import type { NewTrust } from './schemas.ts';
import * as store from './store.ts';
import type { TrustRow } from './store.ts';

const noUses = (trust: TrustRow) => new Forbidden(`No remaining uses for trust: ${trust.id}.`);
const isOver = (trust: TrustRow, now: number) => trust.expires_at !== null && trust.expires_at.getTime() <= now;

/** A trust as the API sees it: gone when it is over, refused when it is used up or its chain is broken. */
export async function livingTrust(identity: Identity, id: string, trx: Trx = identity.db): Promise<TrustRow> {
  const trust = await store.find(trx, id);
  if (!trust || isOver(trust, identity.clock())) throw absent('trust', id);
  if (trust.remaining_uses === 0) throw noUses(trust);
  for (const parent of (await store.pedigree(trx, trust)).slice(1)) {
    const agent = await findUser(trx, parent.trustee_user_id);
    if (!agent?.enabled) throw forbidden();
  }
  return trust;
}
/** For a login: what is not there is a plain 401. */
export async function usableTrust(identity: Identity, id: string): Promise<TrustRow> {
  const trust = await store.find(identity.db, id);
  if (!trust || isOver(trust, identity.clock())) throw new Unauthorized();
  return livingTrust(identity, id);
}

/** Takes one use, if uses are counted. Two logins at once cannot both have the last. */
export async function consumeTrust(identity: Identity, trust: TrustRow): Promise<void> {
  if (trust.remaining_uses === null) return;
  const taken = await identity.db('trusts').where({ id: trust.id }).where('remaining_uses', '>', 0).decrement('remaining_uses', 1);
  if (taken === 0) throw noUses(trust);
}

const own = ['trustor_user_id', 'trustee_user_id', 'impersonation', 'project_id', 'remaining_uses', 'expires_at', 'allow_redelegation', 'redelegation_count', 'roles'] as const;

export async function create(identity: Identity, caller: Caller, body: NewTrust): Promise<TrustRow> {
  refuseAppCred(caller);
  if (body.project_id && (body.roles ?? []).length === 0) throw forbidden('At least one role should be specified');
  if (caller.userId !== body.trustor_user_id) throw forbidden('The authenticated user should match the trustor');
  const expires_at = futureTime(body.expires_at, identity.clock());
  return transaction(identity.db, async trx => {
    if (!(await findUser(trx, body.trustee_user_id))) throw absent('user', body.trustee_user_id);
    const parent = caller.trustId === undefined ? undefined : await livingTrust(identity, caller.trustId, trx);
    const roles = await roleIdsOf(trx, body.roles ?? []);
    await refuseForeignRoles(trx, body, roles, parent);
    const row = {
      id: newHexId(), trustor_user_id: body.trustor_user_id, trustee_user_id: body.trustee_user_id, project_id: body.project_id || null, impersonation: body.impersonation, expires_at: expires_at ?? parent?.expires_at ?? null,
      remaining_uses: body.remaining_uses ?? null, redelegated_trust_id: parent?.id ?? null, redelegation_count: countOf(identity, body, parent), deleted_at: null, extra: split(body, own).extra,
    };
    if (parent) await refuseWidening(identity, trx, row, roles, parent);
    await trx('trusts').insert(row);
    if (roles.length > 0) await trx('trust_roles').insert(roles.map(role_id => ({ trust_id: row.id, role_id })));
    return await store.find(trx, row.id) as TrustRow;
  });
}

async function roleIdsOf(trx: Trx, asked: readonly { id?: string | undefined; name?: string | undefined }[]): Promise<string[]> {
  const ids = new Set<string>();
  for (const { id, name } of asked) {
    const found: { id: string }[] = await trx('roles').where(id === undefined ? { name } : { id }).select('id');
    if (found.length > 1) throw new BadRequest(`There are multiple role entities named '${name}'. Please use ID instead of names to resolve the ambiguity.`);
    if (!found[0]) throw absent('role', (id ?? name) as string);
    ids.add(found[0].id);
  }
  return [...ids];
}

/** What is lent must be held: by whoever lent it first. */
async function refuseForeignRoles(trx: Trx, body: NewTrust, roles: readonly string[], parent: TrustRow | undefined): Promise<void> {
  if (!body.project_id) {
    if (roles[0] !== undefined) throw absent('role', roles[0]);
    return;
  }
  if (!(await findProject(trx, body.project_id))) throw absent('project', body.project_id);
  const first = parent ? (await store.pedigree(trx, parent)).at(-1) as TrustRow : undefined;
  const held = new Set((await effectiveRoles(trx, first?.trustor_user_id ?? body.trustor_user_id, { project: body.project_id })).map(r => r.id));
  const missing = roles.find(id => !held.has(id));
  if (missing !== undefined) throw absent('role', missing);
}

/** How often the trust may be passed on. */
function countOf(identity: Identity, body: NewTrust, parent: TrustRow | undefined): number {
  const most = identity.settings.identity.maxRedelegationCount;
  const asked = body.redelegation_count ?? undefined;
  if (!body.allow_redelegation || asked === 0) return 0;
  if (asked !== undefined && asked > most) throw new Forbidden(`Requested redelegation depth of ${asked} is greater than allowed ${most}`);
  if (body.remaining_uses != null) throw new BadRequest('remaining_uses must not be set if redelegation is allowed');
  if (!parent) return asked ?? most;
  if (asked !== undefined && asked !== parent.redelegation_count - 1) throw new Forbidden('Modifying "redelegation_count" upon redelegation is forbidden. Omitting this parameter is advised.');
  return parent.redelegation_count - 1;
}

/** A trust that is passed on gives no more than it was: not longer, not other roles, not more often, not another's face. */
async function refuseWidening(identity: Identity, trx: Trx, row: Pick<TrustRow, 'remaining_uses' | 'impersonation' | 'project_id'> & { readonly expires_at: string | Date | null }, roles: readonly string[], parent: TrustRow): Promise<void> {
  const most = identity.settings.identity.maxRedelegationCount;
  for (const above of await store.pedigree(trx, parent)) {
    if (above.redelegation_count <= 0 || above.redelegation_count > most) throw forbidden();
    if (row.remaining_uses !== null) throw forbidden();
    if (above.expires_at && (!row.expires_at || new Date(row.expires_at) > above.expires_at)) throw forbidden();
    const lent = new Set(await store.roleIds(trx, above.id));
    if (roles.some(id => !lent.has(id))) throw forbidden();
    if (!above.impersonation && row.impersonation) throw forbidden();
    if (above.project_id !== row.project_id) throw forbidden();
  }
}

/** Ends a trust and those passed on from it. */
export const remove = (identity: Identity, trust: TrustRow): Promise<void> => transaction(identity.db, async trx => {
  const result: { rows: { id: string }[] } = await trx.raw(`with recursive chain (id) as (select :id::text union select t.id from trusts t join chain c on t.redelegated_trust_id = c.id)
    update trusts set deleted_at = now() where id in (select id from chain) and deleted_at is null returning id`, { id: trust.id });
  for (const { id } of result.rows) await identity.revoke(trx, { kind: 'revoked', trustId: id });
});

/** An application credential is for one project; trusts would carry it further (CVE-2026-43000). */
export function refuseAppCred(caller: Caller): void {
  if (caller.appCredId !== undefined || caller.methods.includes('application_credential')) throw forbidden("Using method 'application_credential' is not allowed for managing trusts.");
}
