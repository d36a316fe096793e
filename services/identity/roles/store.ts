import type { Trx } from '@cumulet/db';

export interface RoleRow { readonly id: string; readonly name: string; readonly domain_id: string | null; readonly description: string | null; readonly options: Readonly<Record<string, unknown>>; readonly extra: Readonly<Record<string, unknown>> }
export const columns = ['id', 'name', 'domain_id', 'description', 'options', 'extra'].map(c => `roles.${c}`);
export const find = (trx: Trx, id: string): Promise<RoleRow | undefined> => trx('roles').where({ id }).first(columns);

/** Does `prior` imply `implied`, through however many roles? */
export async function implies(trx: Trx, prior: string, implied: string): Promise<boolean> {
  const result: { rows: unknown[] } = await trx.raw(`with recursive closure (id) as (select implied_role_id from implied_roles where prior_role_id = :prior union select i.implied_role_id from implied_roles i join closure c on i.prior_role_id = c.id) select 1 from closure where id = :implied`, { prior, implied });
  return result.rows.length > 0;
}
