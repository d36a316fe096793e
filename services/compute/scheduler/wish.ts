import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';
import { isVolumeBacked, type ServerFlavor, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { asksOf } from './asks.ts';
import { amountsOf, type Wish } from './claim.ts';

const ofServers = async (trx: Trx, ids: unknown): Promise<string[]> => {
  const list = (Array.isArray(ids) ? ids : [ids]).filter((id): id is string => typeof id === 'string' && /^[0-9a-f-]{36}$/i.test(id));
  const rows: { host: string | null }[] = await trx('servers').whereIn('id', list).where({ deleted: false }).select('host');
  return rows.flatMap(r => (r.host === null ? [] : [r.host]));
};

/** What a server asks of a host by itself, now and at every later move: its size, its image, its hints, its group. The group stays locked until the caller's transaction ends, so that its members never race each other. */
export async function wishOf(trx: Knex.Transaction, row: Pick<ServerRow, 'id' | 'project_id' | 'image' | 'image_id' | 'scheduler_hints' | 'group_id'>, flavor: Pick<ServerFlavor, 'name' | 'vcpus' | 'memory_mb' | 'root_gb' | 'ephemeral_gb' | 'swap_mb' | 'extra_specs'>): Promise<Wish> {
  const hints = row.scheduler_hints;
  const last = (v: unknown): unknown => (Array.isArray(v) ? v.at(-1) : v);
  const [ip, cidr] = [last(hints['build_near_host_ip']), last(hints['cidr'])];
  return {
    ...amountsOf(flavor, isVolumeBacked(await devicesOf(trx, row.id))), projectId: row.project_id, flavorName: flavor.name, imageId: row.image_id ?? undefined, image: row.image.properties ?? {}, extraSpecs: flavor.extra_specs, asks: asksOf(flavor.extra_specs, row.image.properties), group: await groupWish(trx, row.group_id, row.id),
    ...(hints['different_host'] === undefined ? {} : { differentFrom: await ofServers(trx, hints['different_host']) }), ...(hints['same_host'] === undefined ? {} : { sameAs: await ofServers(trx, hints['same_host']) }),
    ...(typeof ip === 'string' ? { near: { ip, cidr: typeof cidr === 'string' ? cidr : '/24' } } : {}), ...(hints['query'] === undefined ? {} : { query: last(hints['query']) }),
  };
}

/** Who is in a server's group and where, for the group's policy. */
async function groupWish(trx: Knex.Transaction, groupId: string | null, except: string): Promise<Wish['group']> {
  if (groupId === null) return undefined;
  const group = await trx('server_groups').where({ id: groupId }).forNoKeyUpdate().first('policy', 'rules') as { policy: string; rules: { max_server_per_host?: number } | null } | undefined;
  if (!group) return undefined;
  // A member that moves is at both places until that is decided.
  const { rows } = await trx.raw(`select coalesce(a.host, s.host) as host from servers s left join allocations a on a.server_id = s.id where s.group_id = ? and not s.deleted and s.id <> ? and coalesce(a.host, s.host) is not null`, [groupId, except]);
  return { policy: group.policy, hosts: (rows as { host: string }[]).map(m => m.host), maxPerHost: Number(group.rules?.max_server_per_host ?? 1) };
}
