import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AccessRule } from '@cumulet/auth';
import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';
import { exactly } from '../times.ts';
import type { Identity } from '../identity.ts';

export interface AppCredRow {
  readonly id: string;
  readonly user_id: string;
  readonly project_id: string;
  readonly name: string;
  readonly description: string | null;
  readonly secret_hash: string;
  readonly unrestricted: boolean;
  readonly expires_at: Date | null;
  /** The same to the microsecond, as it was given. */
  readonly expires_text: string | null;
}
export const rows = (trx: Trx): Knex.QueryBuilder => trx('application_credentials').select('application_credentials.*', trx.raw(exactly('application_credentials.expires_at', 'expires_text')));
export const find = (trx: Trx, id: string): Promise<AppCredRow | undefined> => rows(trx).where({ id }).first();
export const findByName = (trx: Trx, userId: string, name: string): Promise<AppCredRow | undefined> => rows(trx).where({ user_id: userId, name }).first();

export const accessRuleIds = (trx: Trx, appCredId: string): Promise<string[]> => trx('application_credential_access_rules').where({ application_credential_id: appCredId }).pluck('access_rule_id').then(ids => ids as string[]);
export const accessRulesOf = async (trx: Trx, appCredId: string): Promise<AccessRule[]> =>
  trx('application_credential_access_rules as l').join('access_rules as r', 'r.id', 'l.access_rule_id').where('l.application_credential_id', appCredId).orderBy('l.position').select('r.id', 'r.service', 'r.method', 'r.path');

const quick = 'sha256:';
const digest = (secret: string) => createHash('sha256').update(secret).digest();

/** 64 random bytes, as keystone makes them. */
export const newSecret = (): string => randomBytes(64).toString('base64url');

/**
 * A secret of ours is beyond guessing, so a plain digest keeps it and a login by it costs no password hash;
 * one that a person chose is hashed like a password.
 */
export const hashSecret = async (identity: Identity, secret: string, chosen: boolean): Promise<string> => (chosen ? identity.hasher.hash(secret) : `${quick}${digest(secret).toString('base64')}`);

/** Without a credential it costs a hash and says no. */
export async function checkSecret(identity: Identity, row: AppCredRow | undefined, secret: string): Promise<boolean> {
  if (row?.secret_hash.startsWith(quick)) return timingSafeEqual(digest(secret), Buffer.from(row.secret_hash.slice(quick.length), 'base64'));
  return identity.hasher.verify(secret, row?.secret_hash);
}
