import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

export interface ServiceRow { id: string; binary_name: string; host: string; availability_zone: string; disabled: boolean; disabled_reason: string | null; frozen: boolean; cluster: string | null; capabilities: Record<string, unknown>; seen_at: Date; created_at: Date; up: boolean }
export const services = (trx: Trx, downSeconds: number): Knex.QueryBuilder => trx('volume_services').select('*', trx.raw('seen_at > now() - make_interval(secs => ?) as up', [downSeconds])).orderBy('binary_name').orderBy('host');
