import { transaction, type Trx } from '@cumulet/db';
import { BadRequest, newHexId } from '@cumulet/wire';
import { absent, duplicateName, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { find as findProject, findDomain } from '../projects/store.ts';
import { mergeOptions, split } from '../shapes.ts';
import { checkStrength, expiryOf } from './compliance.ts';
import * as store from './store.ts';
import type { UserRow } from './store.ts';

type Body = Readonly<Record<string, unknown>>;
const own = ['name', 'domain_id', 'enabled', 'default_project_id', 'password', 'options', 'federated'] as const;

export async function create(identity: Identity, body: Body, domainId: string, id = newHexId()): Promise<UserRow> {
  const { known, extra } = split(body, own);
  const password = known.password as string | null | undefined;
  if (typeof password === 'string') checkStrength(identity.settings.identity, password);
  // Hashing takes its time, so it is done before the transaction holds anything.
  const hash = typeof password === 'string' ? await identity.hasher.hash(password) : undefined;
  return transaction(identity.db, trx => insertUser(identity, trx, { id, domainId, known, extra, hash }));
}

async function insertUser(identity: Identity, trx: Trx, o: { id: string; domainId: string; known: Body; extra: object; hash: string | undefined }): Promise<UserRow> {
  if (!(await findDomain(trx, o.domainId))) throw absent('domain', o.domainId);
  await refuseDomainAsProject(trx, o.known['default_project_id']);
  refuseFederated(o.known['federated']);
  const name = String(o.known['name']).trim();
  const options = mergeOptions({}, o.known['options']);
  await unlessDuplicate(
    trx('users').insert({ id: o.id, domain_id: o.domainId, name, enabled: o.known['enabled'] !== false, default_project_id: o.known['default_project_id'] ?? null, options, extra: o.extra, created_at: new Date(identity.clock()) }),
    () => duplicateName('user', name, o.domainId),
  );
  if (o.hash !== undefined) await writePassword(identity, trx, o.id, options, o.hash, 'administrator');
  return await store.find(trx, o.id) as UserRow;
}

async function writePassword(identity: Identity, trx: Trx, userId: string, options: store.UserOptions, hash: string, by: 'user' | 'administrator'): Promise<void> {
  const c = identity.settings.identity.compliance;
  const now = identity.clock();
  await store.addPassword(trx, userId, { hash, self_service: by === 'user', created_at: new Date(now), expires_at: expiryOf(c, options, now, by) }, c.uniqueLastPasswordCount);
}

async function refuseDomainAsProject(trx: Trx, projectId: unknown): Promise<void> {
  if (typeof projectId === 'string' && (await findProject(trx, projectId))?.is_domain) throw new BadRequest(`User's default project ID cannot be a domain ID: ${projectId}`);
}
/** No identity provider is configured, so none can be found. */
function refuseFederated(federated: unknown): void {
  const [first] = (federated ?? []) as { idp_id: string }[];
  if (first) throw new BadRequest(`Could not find Identity Provider: ${first.idp_id}`);
}

export async function update(identity: Identity, id: string, body: Body): Promise<UserRow> {
  const { known, extra } = split(body, own);
  if (body['id'] !== undefined && body['id'] !== id) throw new BadRequest('Cannot change user ID');
  const password = known.password as string | null | undefined;
  if (typeof password === 'string') checkStrength(identity.settings.identity, password);
  const hash = typeof password === 'string' ? await identity.hasher.hash(password) : undefined;
  return transaction(identity.db, async trx => {
    const before = await store.lock(trx, id);
    if (!before) throw absent('user', id);
    if (known.domain_id !== undefined && known.domain_id !== before.domain_id) throw new BadRequest('Cannot change Domain ID');
    await refuseDomainAsProject(trx, known.default_project_id);
    refuseFederated(known.federated);
    const options = mergeOptions({ ...before.options }, known.options);
    const name = known.name === undefined ? before.name : String(known.name).trim();
    const enabled = known.enabled === undefined ? before.enabled : known.enabled === true;
    await unlessDuplicate(trx('users').where({ id }).update({
      name, enabled, options, extra: { ...before.extra, ...extra }, ...(known.default_project_id === undefined ? {} : { default_project_id: known.default_project_id }),
      // Enabling a user whom inactivity had disabled starts the count anew.
      ...(known.enabled === true && before.last_active_at ? { last_active_at: new Date(identity.clock()) } : {}),
    }), () => duplicateName('user', name, before.domain_id));
    if (hash !== undefined) await writePassword(identity, trx, id, options, hash, 'administrator');
    if (password === null) await trx('passwords').where({ user_id: id }).delete();
    if ((before.enabled && !enabled) || password !== undefined) await identity.revoke(trx, { kind: 'revoked', userId: id });
    return await store.find(trx, id) as UserRow;
  });
}

/** The user's own change, once the old password has been checked. */
export async function changePassword(identity: Identity, user: UserRow, password: string): Promise<void> {
  const c = identity.settings.identity.compliance;
  const history = c.uniqueLastPasswordCount > 0 ? await store.passwordHistory(identity.db, user.id, c.uniqueLastPasswordCount) : [];
  for (const old of history) if (await identity.hasher.verify(password, old)) throw new BadRequest(`The new password cannot be identical to a previous password. The total number which includes the new password must be unique is ${c.uniqueLastPasswordCount}.`);
  const hash = await identity.hasher.hash(password);
  await transaction(identity.db, async trx => {
    const now = await store.lock(trx, user.id);
    if (!now) throw absent('user', user.id);
    await writePassword(identity, trx, user.id, now.options, hash, 'user');
    await identity.revoke(trx, { kind: 'revoked', userId: user.id });
  });
}

export const remove = (identity: Identity, id: string): Promise<void> => transaction(identity.db, async trx => {
  await trx('credentials').where({ user_id: id }).delete();
  if (await trx('users').where({ id }).delete() === 0) throw absent('user', id);
  await identity.revoke(trx, { kind: 'revoked', userId: id });
});
