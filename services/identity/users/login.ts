import { BadRequest, Unauthorized } from '@cumulet/wire';
import type { Identity } from '../identity.ts';
import { checkMinimumAge, checkStrength, isEnabled, isLocked } from './compliance.ts';
import { changePassword } from './service.ts';
import * as store from './store.ts';
import type { UserRow } from './store.ts';

/** Everything that can be wrong with a login looks the same from outside and takes as long (CVE-2021-38155). */
const refused = () => new Unauthorized();

/**
 * Checks a password. Unknown, locked and disabled users cost a hash like any other. An expired password is told only to who knows it,
 * because it must be changed; `expiredToo` lets it pass for that very change.
 */
export async function checkPassword(identity: Identity, user: UserRow | undefined, asked: { name: string; password: string; address: string }, options: { expiredToo?: boolean } = {}): Promise<UserRow> {
  const c = identity.settings.identity.compliance;
  const locked = user !== undefined && isLocked(c, user, identity.clock());
  const right = await identity.logins.pass(user?.id ?? asked.name, asked.address, async () => await identity.hasher.verify(asked.password, locked ? undefined : user?.password_hash ?? undefined) && user !== undefined);
  if (!user || !right) {
    if (user && !locked && c.lockoutFailureAttempts !== undefined) await store.recordFailure(identity.db, user.id, new Date(identity.clock()));
    throw refused();
  }
  if (!isEnabled(c, user, identity.clock())) throw refused();
  if (!options.expiredToo && isExpired(identity, user)) throw new Unauthorized(`The password is expired and needs to be changed for user: ${user.id}.`);
  if (user.failed_logins > 0) await store.forgetFailures(identity.db, user.id);
  await markActive(identity, user);
  return user;
}
const isExpired = (identity: Identity, user: UserRow) => user.password_expires_at !== null && user.password_expires_at.getTime() <= identity.clock() && user.options.ignore_password_expiry !== true;

/** The day of the last use is kept only where an operator wants idle users disabled. */
async function markActive(identity: Identity, user: UserRow): Promise<void> {
  if (identity.settings.identity.compliance.disableUserDaysInactive === undefined) return;
  await identity.db('users').where({ id: user.id }).update({ last_active_at: new Date(identity.clock()) });
}

/** `POST /v3/users/{id}/password`: needs no token but the old password. */
export async function changeOwnPassword(identity: Identity, userId: string, asked: { original: string; password: string; address: string }): Promise<void> {
  const user = await checkPassword(identity, await store.find(identity.db, userId), { name: userId, password: asked.original, address: asked.address }, { expiredToo: true });
  checkStrength(identity.settings.identity, asked.password);
  if (user.options.lock_password === true) throw new BadRequest('You cannot change your password at this time due to password policy disallowing password changes. Please contact your administrator to reset your password.');
  checkMinimumAge(identity.settings.identity.compliance, user, identity.clock());
  await changePassword(identity, user, asked.password);
}
