import type { Trx } from '@cumulet/db';
import type { Amounts } from '../providers/store.ts';

/** What a consumer holds of one provider. */
export interface Held {
  readonly consumer: string;
  readonly providerId: string;
  readonly providerGeneration: number;
  readonly resources: Amounts;
  readonly projectId: string;
  readonly userId: string;
  readonly generation: number;
  readonly type: string;
  readonly since: Date;
}

/** Nova names no type for its servers, and placement calls that so. */
export const NO_TYPE = 'unknown';
interface Row { consumer: string; provider: string; provider_generation: number; class: string; used: number; project_id: string; user_id: string; generation: number; type: string | null; since: Date }

/**
 * By consumer, provider or owner. What a server's move holds is part of what the server holds: here a server is one consumer
 * from its birth to its end, and its allocations are compute's.
 */
export async function consumersOf(db: Trx, by: { consumer?: string; providerId?: string; projectId?: string; userId?: string }): Promise<Held[]> {
  const where = (consumer: string, provider: string, project: string, user: string) => ([[consumer, by.consumer], [provider, by.providerId], [project, by.projectId], [user, by.userId]] as const).filter(([, value]) => value !== undefined);
  const [ofServers, ofOthers] = [where('a.server_id', 'p.id', 's.project_id', 's.user_id'), where('a.consumer_id', 'p.id', 'c.project_id', 'c.user_id')];
  const and = (conditions: typeof ofServers) => conditions.map(([column]) => `and ${column} = ?`).join(' ');
  const { rows } = await db.raw(`select a.server_id::text as consumer, p.id::text as provider, p.num, p.generation as provider_generation, r.class, sum(r.used)::int as used, s.project_id, s.user_id, 1 as generation, null as type, max(a.created_at) as since
      from allocations a join placement_providers p on p.host = a.host join servers s on s.id = a.server_id,
        lateral (select 'VCPU' as class, a.vcpus as used union all select 'MEMORY_MB', a.memory_mb union all select 'DISK_GB', a.disk_gb union all select key, value::int from jsonb_each_text(a.resources)) r
      where r.used > 0 ${and(ofServers)} group by a.server_id, p.id, r.class, s.project_id, s.user_id
    union all select a.consumer_id::text, p.id::text, p.num, p.generation, a.class, a.used, c.project_id, c.user_id, c.generation, c.type, a.created_at
      from placement_allocations a join placement_providers p on p.id = a.provider_id join placement_consumers c on c.id = a.consumer_id where true ${and(ofOthers)} order by consumer, num, class`,
  [...ofServers, ...ofOthers].map(([, value]) => value as string));
  const held = new Map<string, Held & { resources: Record<string, number> }>();
  for (const r of rows as Row[]) {
    const key = `${r.consumer} ${r.provider}`;
    const of = held.get(key) ?? { consumer: r.consumer, providerId: r.provider, providerGeneration: r.provider_generation, resources: {}, projectId: r.project_id, userId: r.user_id, generation: r.generation, type: r.type ?? NO_TYPE, since: r.since };
    of.resources[r.class] = r.used;
    held.set(key, of);
  }
  return [...held.values()];
}
