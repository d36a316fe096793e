import type { Caller } from '@cumulet/auth';
import { transaction, type Trx } from '@cumulet/db';
import { BadRequest, Forbidden, newHexId } from '@cumulet/wire';
import { isDelegated } from '../asking.ts';
import { absent, duplicate, expected, forbidden, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { split } from '../shapes.ts';
import { idOfAccessKey, sealed, unsealed, type CredentialRow } from './store.ts';

type Body = Readonly<Record<string, unknown>>;
const own = ['blob', 'project_id', 'type', 'user_id'] as const;
const isEc2 = (type: unknown) => String(type ?? '').toLowerCase() === 'ec2';

function ec2Blob(text: unknown): Record<string, unknown> {
  let blob: unknown;
  try { blob = JSON.parse(String(text)); } catch (cause) { throw new BadRequest('Invalid blob in credential', { cause }); }
  if (typeof blob !== 'object' || blob === null || Array.isArray(blob) || Object.keys(blob).length === 0) throw expected('blob', 'credential');
  if (typeof (blob as Body)['access'] !== 'string') throw expected('access', 'credential');
  return blob as Record<string, unknown>;
}

/**
 * A delegation reaches only credentials of its own project: not those of others, and not a user's own secrets such as TOTP seeds,
 * which belong to no project (keystone f82b0935).
 */
export function reaches(caller: Caller, credential: { readonly project_id: string | null }): boolean {
  return !isDelegated(caller) || (credential.project_id !== null && credential.project_id === caller.projectId);
}
export function refuseOutOfReach(caller: Caller, credential: { readonly project_id: string | null }): void {
  if (!reaches(caller, credential)) throw forbidden('Credential project does not match the project scope of the delegated token');
}
/** A restricted application credential makes no EC2 keys, by whatever door (CVE-2026-33551). */
export function refuseRestricted(caller: Caller): void {
  if (caller.appCredId !== undefined && caller.restricted) throw forbidden("Using method 'application_credential' is not allowed for managing additional credentials.");
}

export async function create(identity: Identity, caller: Caller, body: Body): Promise<CredentialRow> {
  const { known, extra } = split(body, own);
  const project_id = (known.project_id as string | null | undefined) ?? null;
  let id = newHexId();
  let blob = known.blob as string;
  if (isEc2(known.type)) {
    refuseRestricted(caller);
    if (project_id === null) throw expected('project_id', 'credential');
    const parsed = ec2Blob(blob);
    id = idOfAccessKey(parsed['access'] as string);
    // Kept in the blob, so that tokens from these keys stay within what made them.
    if (caller.trustId !== undefined) parsed['trust_id'] = caller.trustId;
    if (caller.appCredId !== undefined) parsed['app_cred_id'] = caller.appCredId;
    if (isDelegated(caller)) blob = JSON.stringify(parsed);
  }
  refuseOutOfReach(caller, { project_id });
  return insert(identity, { id, user_id: known.user_id as string, project_id, type: known.type as string, blob, extra });
}

export const insert = (identity: Identity, row: Omit<CredentialRow, 'blob'> & { blob: string }): Promise<CredentialRow> => transaction(identity.db, async trx => {
  await refuseTooMany(identity, trx, row.user_id);
  const [made] = await unlessDuplicate(trx('credentials').insert({ ...row, blob: sealed(identity, row.id, row.blob) }).returning<CredentialRow[]>('*'), () => duplicate('credential', `Duplicate entry found with ID ${row.id}`));
  return made as CredentialRow;
});

async function refuseTooMany(identity: Identity, trx: Trx, userId: string): Promise<void> {
  const limit = identity.settings.identity.credentialsPerUser;
  if (limit < 0) return;
  await trx('users').where({ id: userId }).forUpdate().first('id');
  const [count] = await trx('credentials').where({ user_id: userId }).count<{ count: number }[]>('id as count');
  if ((count?.count ?? 0) >= limit) throw new Forbidden(`Unable to create additional credentials, maximum of ${limit} already exceeded for user.`);
}

/** Changes a credential, but not what its keys are bound to. The caller has been asked about the old and the new owner (CVE-2020-12691). */
export async function update(identity: Identity, caller: Caller, current: CredentialRow, body: Body): Promise<CredentialRow> {
  const { known, extra } = split(body, own);
  if (body['id'] !== undefined && body['id'] !== current.id) throw new BadRequest('Cannot change ID');
  if (known.project_id !== undefined) refuseOutOfReach(caller, { project_id: known.project_id as string | null });
  const wasEc2 = isEc2(current.type);
  // What was bound to a trust as ec2 does not lose that on a way through another type. The other way round is harmless: keys are found by an id that such a credential does not have.
  if (wasEc2 && known.type !== undefined && !isEc2(known.type)) throw new BadRequest('type can not be updated for credential');
  if (!wasEc2 && isEc2(known.type)) ec2Blob(known.blob ?? unsealed(identity, current));
  if (wasEc2 && known.blob !== undefined) {
    const before = ec2Blob(unsealed(identity, current));
    const after = ec2Blob(known.blob);
    for (const key of ['trust_id', 'app_cred_id', 'access_token_id', 'access_id']) if ((before[key] ?? null) !== (after[key] ?? null)) throw new BadRequest(`${key} can not be updated for credential`);
  }
  const [made] = await identity.db('credentials').where({ id: current.id }).update({
    ...(known.blob === undefined ? {} : { blob: sealed(identity, current.id, known.blob as string) }), ...(known.project_id === undefined ? {} : { project_id: known.project_id }), ...(known.type === undefined ? {} : { type: known.type }), ...(known.user_id === undefined ? {} : { user_id: known.user_id }),
    extra: { ...current.extra, ...extra },
  }).returning<CredentialRow[]>('*');
  if (!made) throw absent('credential', current.id);
  return made;
}
