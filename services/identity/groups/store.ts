import type { Trx } from '@cumulet/db';

export interface GroupRow { readonly id: string; readonly domain_id: string; readonly name: string; readonly description: string; readonly extra: Readonly<Record<string, unknown>> }
export const columns = ['id', 'domain_id', 'name', 'description', 'extra'].map(c => `groups.${c}`);
export const find = (trx: Trx, id: string): Promise<GroupRow | undefined> => trx('groups').where({ id }).first(columns);
