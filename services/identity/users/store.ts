import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

export interface UserRow {
  readonly id: string;
  readonly domain_id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly default_project_id: string | null;
  readonly options: UserOptions;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly created_at: Date;
  readonly last_active_at: Date | null;
  readonly failed_logins: number;
  readonly failed_login_at: Date | null;
  /** Of the newest password; undefined columns when there is none. */
  readonly password_hash: string | null;
  readonly password_created_at: Date | null;
  readonly password_expires_at: Date | null;
  readonly password_self_service: boolean | null;
}
export interface UserOptions {
  readonly ignore_change_password_upon_first_use?: boolean;
  readonly ignore_password_expiry?: boolean;
  readonly ignore_lockout_failure_attempts?: boolean;
  readonly lock_password?: boolean;
  readonly ignore_user_inactivity?: boolean;
  readonly multi_factor_auth_enabled?: boolean;
  readonly multi_factor_auth_rules?: readonly (readonly string[])[];
}

/** Users with the newest password beside each: one row a user. */
export const users = (trx: Trx): Knex.QueryBuilder => trx('users').joinRaw('left join lateral (select * from passwords where passwords.user_id = users.id order by passwords.id desc limit 1) as password on true')
  .select('users.*', { password_hash: 'password.hash', password_created_at: 'password.created_at', password_expires_at: 'password.expires_at', password_self_service: 'password.self_service' });

export const find = (trx: Trx, id: string): Promise<UserRow | undefined> => users(trx).where('users.id', id).first();
export const findByName = (trx: Trx, domainId: string, name: string): Promise<UserRow | undefined> => users(trx).where({ 'users.domain_id': domainId, 'users.name': name }).first();
export const lock = (trx: Trx, id: string): Promise<UserRow | undefined> => users(trx).where('users.id', id).forUpdate('users').first();

/** Older passwords, newest first. */
export const passwordHistory = async (trx: Trx, userId: string, count: number): Promise<string[]> => trx('passwords').where({ user_id: userId }).orderBy('id', 'desc').limit(count).pluck('hash');

export interface NewPassword { readonly hash: string; readonly self_service: boolean; readonly created_at: Date; readonly expires_at: Date | null }
/** Adds a password and forgets those beyond `keep`. */
export async function addPassword(trx: Trx, userId: string, password: NewPassword, keep: number): Promise<void> {
  await trx('passwords').insert({ user_id: userId, ...password });
  await trx('passwords').where({ user_id: userId }).whereNotIn('id', trx('passwords').where({ user_id: userId }).orderBy('id', 'desc').limit(Math.max(1, keep)).select('id')).delete();
}

export const recordFailure = (trx: Trx, id: string, at: Date): Promise<number> => trx('users').where({ id }).update({ failed_logins: trx.raw('failed_logins + 1'), failed_login_at: at });
export const forgetFailures = (trx: Trx, id: string): Promise<number> => trx('users').where({ id }).update({ failed_logins: 0, failed_login_at: null });
