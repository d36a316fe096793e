import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';
import { exactly } from '../times.ts';

export interface TrustRow {
  readonly id: string;
  readonly trustor_user_id: string;
  readonly trustee_user_id: string;
  readonly project_id: string | null;
  readonly impersonation: boolean;
  readonly expires_at: Date | null;
  readonly remaining_uses: number | null;
  readonly redelegated_trust_id: string | null;
  readonly redelegation_count: number;
  readonly deleted_at: Date | null;
  readonly extra: Readonly<Record<string, unknown>>;
  /** `expires_at` to the microsecond. */
  readonly expires_text: string | null;
}
export const rows = (trx: Trx): Knex.QueryBuilder => trx('trusts').select('trusts.*', trx.raw(exactly('trusts.expires_at', 'expires_text'))).whereNull('trusts.deleted_at');
export const find = (trx: Trx, id: string): Promise<TrustRow | undefined> => rows(trx).where({ id }).first();
export const roleIds = async (trx: Trx, trustId: string): Promise<string[]> => trx('trust_roles').where({ trust_id: trustId }).pluck('role_id');

/** The trust and those that it was passed on from, nearest first. */
export async function pedigree(trx: Trx, trust: TrustRow): Promise<TrustRow[]> {
  const chain = [trust];
  for (let at = trust; at.redelegated_trust_id !== null;) {
    const parent = await find(trx, at.redelegated_trust_id);
    if (!parent) break;
    chain.push(parent);
    at = parent;
  }
  return chain;
}
