import { feedPosition, newAuditId, type Claims } from '@cumulet/auth';
import { Forbidden, Unauthorized } from '@cumulet/wire';
import { rolesOf } from '../assignments/effective.ts';
import { accessRuleIds, type AppCredRow } from '../application_credentials/store.ts';
import type { Identity } from '../identity.ts';
import { consumeTrust } from '../trusts/service.ts';
import * as users from '../users/store.ts';
import type { UserRow } from '../users/store.ts';
import type { Scope } from './scope.ts';

export interface Order {
  readonly user: UserRow;
  readonly methods: readonly string[];
  readonly scope: Scope;
  readonly until?: number | undefined;
  readonly auditChain?: string | undefined;
  readonly appCred?: AppCredRow | undefined;
  /** Where the revocation feed stood before anything of this login was read. */
  readonly position: number;
}
export interface Issued { readonly token: string; readonly claims: Claims }

/** Where the feed stands: to be asked before the facts of a login are read, so that a change meanwhile counts against the token. */
export const position = (identity: Identity): Promise<number> => feedPosition(identity.db);

/** Makes a token, if its user may do anything where it is to be used. */
export async function issue(identity: Identity, order: Order): Promise<Issued> {
  const { scope, appCred } = order;
  const now = Math.floor(identity.clock() / 1000);
  const ends = [now + identity.settings.tokens.lifetimeSeconds, order.until, seconds(appCred?.expires_at), 'trust' in scope ? seconds(scope.trust.expires_at) : undefined].filter(e => e !== undefined);
  const audit = newAuditId();
  const who = 'trust' in scope ? await onTrust(identity, order, scope.trust) : order.user;
  const place = {
    ...('project' in scope && scope.project ? { p: scope.project.id, pd: scope.project.domain_id ?? undefined } : {}), ...('domain' in scope ? { d: scope.domain.id } : {}), ...('system' in scope ? { s: 1 as const } : {}),
  };
  const roles = 'unscoped' in scope ? [] : await rolesOf(identity.db, {
    userId: who.id, projectId: place.p, domainId: place.d, ...('system' in scope ? { systemScope: 'all' as const } : {}), ...('trust' in scope ? { trustId: scope.trust.id } : {}), ...(appCred ? { appCredId: appCred.id } : {}),
  });
  if (!roles) throw 'trust' in scope ? new Forbidden('You are not authorized to perform the requested action.') : new Unauthorized();
  const claims: Claims = {
    u: who.id, ud: who.domain_id, ...place, ...('unscoped' in scope ? {} : { r: roles.map(r => r.name) }), m: order.methods,
    a: order.auditChain === undefined ? [audit] : [audit, order.auditChain], i: now, e: Math.min(...ends), q: order.position,
    ...('trust' in scope ? { t: [scope.trust.id, scope.trust.trustor_user_id, scope.trust.trustee_user_id] as const } : {}),
    ...(appCred ? { ac: appCred.id, ...(appCred.unrestricted ? {} : { x: 1 as const }), ...((await accessRuleIds(identity.db, appCred.id)).length > 0 ? { ar: 1 as const } : {}) } : {}),
  };
  if ('trust' in scope) await consumeTrust(identity, scope.trust);
  return { token: await identity.signer.sign(claims), claims };
}
const seconds = (at: Date | null | undefined) => (at ? Math.floor(at.getTime() / 1000) : undefined);

/** Only the trustee may use a trust; with impersonation the token then speaks for the trustor. */
async function onTrust(identity: Identity, order: Order, trust: { trustee_user_id: string; trustor_user_id: string; impersonation: boolean }): Promise<UserRow> {
  if (order.user.id !== trust.trustee_user_id) throw new Forbidden('You are not authorized to perform the requested action.');
  const trustor = await users.find(identity.db, trust.trustor_user_id);
  const domain: { enabled: boolean } | undefined = trustor && await identity.db('projects').where({ id: trustor.domain_id }).first('enabled');
  if (!trustor?.enabled || !domain?.enabled) throw new Forbidden('You are not authorized to perform the requested action.');
  return trust.impersonation ? trustor : order.user;
}
