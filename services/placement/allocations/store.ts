import type { Trx } from '@cumulet/db';
import type { Amounts } from '../providers/store.ts';

/** What a consumer (a server, or its move to another host) holds of one provider. */
export interface Held {
  readonly consumer: string;
  readonly providerId: string;
  readonly providerGeneration: number;
  readonly resources: Amounts;
  readonly projectId: string;
  readonly userId: string;
  readonly generation: number | undefined;
}

interface Row { server_id: string; provider: string; vcpus: number; memory_mb: number; disk_gb: number; project_id: string; user_id: string; generation: string }

/**
 * By consumer, provider or owner. What a server's move holds is part of what the server holds: here a server is one consumer
 * from its birth to its end.
 */
export async function consumersOf(db: Trx, by: { consumer?: string; providerId?: string; projectId?: string; userId?: string }): Promise<Held[]> {
  const { rows } = await db.raw(`select a.server_id::text, h.id::text as provider, sum(a.vcpus)::int as vcpus, sum(a.memory_mb)::int as memory_mb, sum(a.disk_gb)::int as disk_gb, s.project_id, s.user_id,
      floor(extract(epoch from max(h.changed_at)))::bigint % 1000000000 as generation
    from allocations a join compute_hosts h on h.host = a.host and not h.deleted join servers s on s.id = a.server_id
    where (?::uuid is null or a.server_id = ?::uuid) and (?::uuid is null or h.id = ?::uuid) and (?::text is null or s.project_id = ?) and (?::text is null or s.user_id = ?)
    group by a.server_id, h.id, s.project_id, s.user_id order by a.server_id, h.id`,
  [by.consumer, by.consumer, by.providerId, by.providerId, by.projectId, by.projectId, by.userId, by.userId].map(v => v ?? null));
  return (rows as Row[]).map(r => ({
    consumer: r.server_id, providerId: r.provider, providerGeneration: Number(r.generation), projectId: r.project_id, userId: r.user_id, generation: 1,
    resources: Object.fromEntries(Object.entries({ VCPU: r.vcpus, MEMORY_MB: r.memory_mb, DISK_GB: r.disk_gb }).filter(([, amount]) => amount > 0)),
  }));
}
