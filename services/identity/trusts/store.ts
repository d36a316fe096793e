import type { Trx } from '@cumulet/db';

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
}
export const find = (trx: Trx, id: string): Promise<TrustRow | undefined> => trx('trusts').where({ id }).whereNull('deleted_at').first();
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
