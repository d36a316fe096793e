import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, lastOf, NotFound, one, shape, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { nextLink, pageSize } from '../paging.ts';
import { instanceName } from '../servers/row.ts';
import { hostRows, type HostRow } from './store.ts';

const Query = shape('HypervisorQuery', z.looseObject({ limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: one(z.string()).optional(), hypervisor_hostname_pattern: one(z.string()).optional(), with_servers: one(z.string()).optional() }));
const View = shape('Hypervisor', z.any());
const Listed = shape('HypervisorDetail', z.any(), { hypervisors: View });
const Shown = shape('ShownHypervisor', z.any(), { hypervisor: View });
const counts = ['vcpus', 'memory_mb', 'local_gb', 'vcpus_used', 'memory_mb_used', 'local_gb_used', 'free_ram_mb', 'free_disk_gb', 'current_workload', 'running_vms', 'disk_available_least', 'cpu_info'];
export const changes: Change[] = [
  { at: '2.28', shape: 'Hypervisor', why: 'cpu_info is an object', down: (h: Record<string, unknown>) => ('cpu_info' in h ? { ...h, cpu_info: JSON.stringify(h['cpu_info']) } : h) },
  { at: '2.33', trait: 'hypervisor pages', why: 'hypervisors are listed in pages' },
  { at: '2.88', shape: 'Hypervisor', why: 'counts are placement\'s to tell; uptime is here', down: without('uptime') },
  { at: '2.88', trait: 'no hypervisor counts', why: 'counts are placement\'s to tell' },
];

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const uuids = (ctx: Context) => ctx.dialect.has('uuids of services');
  const brief = (ctx: Context, h: HostRow) => ({ id: uuids(ctx) ? h.id : h.num, hypervisor_hostname: h.node, state: h.up ? 'up' : 'down', status: h.disabled ? 'disabled' : 'enabled', ...(h.servers ? { servers: h.servers } : {}) });
  const uptime = (h: HostRow) => {
    const s = h.facts.uptimeSeconds;
    if (s === undefined) return null;
    const at = new Date(c.rt.clock()).toISOString().slice(11, 19);
    return ` ${at} up ${Math.floor(s / 86_400)} days, ${String(Math.floor(s / 3_600) % 24).padStart(2, ' ')}:${String(Math.floor(s / 60) % 60).padStart(2, '0')},  0 users,  load average: ${(h.facts.loadAverage ?? [0, 0, 0]).map(l => l.toFixed(2)).join(', ')}\n`;
  };
  const numbers = (h: HostRow) => ({
    vcpus: h.vcpus, memory_mb: h.memory_mb, local_gb: h.disk_gb, vcpus_used: h.used_vcpus, memory_mb_used: h.used_memory_mb + h.reserved_memory_mb, local_gb_used: h.used_disk_gb, free_ram_mb: h.memory_mb - h.used_memory_mb - h.reserved_memory_mb, free_disk_gb: h.disk_gb - h.used_disk_gb,
    current_workload: h.busy, running_vms: h.running, disk_available_least: h.facts.freeDiskGiB ?? h.disk_gb - h.used_disk_gb,
  });
  const full = (ctx: Context, h: HostRow) => ({
    ...brief(ctx, h), hypervisor_type: h.facts.type ?? 'QEMU', hypervisor_version: h.facts.version ?? 0, host_ip: h.facts.address ?? '127.0.0.1', ...numbers(h), cpu_info: h.facts.cpuInfo ?? {}, service: { id: uuids(ctx) ? h.service_id : h.num, host: h.host, disabled_reason: h.disabled_reason }, uptime: uptime(h),
  });
  const lower = (ctx: Context, h: Record<string, unknown>) => { if (ctx.dialect.has('no hypervisor counts')) for (const k of counts) delete h[k]; return h; };
  const withServers = async (rows: HostRow[]): Promise<HostRow[]> => {
    const servers: { id: string; num: number; host: string }[] = await db('servers').where({ deleted: false }).whereIn('host', rows.map(r => r.host)).select('id', 'num', 'host');
    return rows.map(r => ({ ...r, servers: servers.filter(s => s.host === r.host).map(s => ({ name: instanceName(s), uuid: s.id })) }));
  };
  const page = async (ctx: Context<unknown, Record<string, unknown>>) => {
    const pages = ctx.dialect.has('hypervisor pages');
    const query = hostRows(db);
    const q = ctx.query as { limit?: string; marker?: string; hypervisor_hostname_pattern?: string; with_servers?: string };
    const limit = pages ? pageSize(c.rt, q.limit) : c.rt.settings.http.maxLimit;
    query.limit(limit);
    if (uuids(ctx) && q.hypervisor_hostname_pattern !== undefined) {
      if (q.limit !== undefined || q.marker !== undefined) throw new BadRequest('Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.');
      query.whereRaw('position(? in h.node) > 0', [q.hypervisor_hostname_pattern]);
    }
    if (pages && q.marker !== undefined) {
      const marker = await hostRows(db).where(uuids(ctx) ? { 'h.id': /^[0-9a-f-]{36}$/i.test(q.marker) ? q.marker : '00000000-0000-0000-0000-000000000000' } : { 'h.num': /^\d{1,9}$/.test(q.marker) ? Number(q.marker) : -1 }).first() as HostRow | undefined;
      if (!marker) throw new BadRequest(`marker [${q.marker}] not found`);
      query.where('h.num', '>', marker.num);
    }
    let rows: HostRow[] = await query;
    if (uuids(ctx) && q.hypervisor_hostname_pattern !== undefined && rows.length === 0) throw new NotFound(`No hypervisor matching '${q.hypervisor_hostname_pattern}' could be found.`);
    if (uuids(ctx) && ['true', '1', 'yes', 'on'].includes(String(q.with_servers).toLowerCase())) rows = await withServers(rows);
    const last = rows.at(-1);
    return { rows, links: pages && q.limit !== undefined && last && rows.length === limit ? { hypervisors_links: nextLink(ctx, String(uuids(ctx) ? last.id : last.num)) } : {} };
  };
  const find = async (ctx: Context): Promise<HostRow> => {
    const id = ctx.params['id'] ?? '';
    const known = uuids(ctx) ? /^[0-9a-f-]{36}$/i.test(id) : /^\d{1,9}$/.test(id);
    if (!known && uuids(ctx)) throw new BadRequest(`Invalid uuid ${id}`);
    const row: HostRow | undefined = known ? await hostRows(db).where(uuids(ctx) ? { 'h.id': id } : { 'h.num': Number(id) }).first() : undefined;
    if (!row) throw new NotFound(`Hypervisor with ID '${id}' could not be found.`);
    return row;
  };
  const detail = (id: string, path: string) => operation({ id, summary: 'Hypervisors in detail', method: 'GET', path, policy: 'os_compute_api:os-hypervisors:list-detail', query: Query, reply: Listed, handler: async ctx => { const { rows, links } = await page(ctx as never); return { hypervisors: rows.map(h => lower(ctx as never, full(ctx as never, h))), ...links }; } });
  const matching = async (pattern: string): Promise<HostRow[]> => {
    const rows: HostRow[] = await hostRows(db).whereRaw('position(? in h.node) > 0', [pattern]);
    if (rows.length === 0) throw new NotFound(`No hypervisor matching '${pattern}' could be found.`);
    return rows;
  };
  return [
    operation({ id: 'hypervisors.list', summary: 'Hypervisors', method: 'GET', path: '/os-hypervisors', policy: 'os_compute_api:os-hypervisors:list', query: Query, handler: async ctx => { const { rows, links } = await page(ctx as never); return { hypervisors: rows.map(h => brief(ctx as never, h)), ...links }; } }),
    detail('hypervisors.detail', '/os-hypervisors/detail'),
    operation({
      id: 'hypervisors.statistics', summary: 'Sums over all hypervisors', method: 'GET', path: '/os-hypervisors/statistics', until: '2.87', policy: 'os_compute_api:os-hypervisors:statistics',
      handler: async () => {
        const rows = (await hostRows(db) as HostRow[]).filter(h => !h.disabled);
        const all = rows.map(numbers);
        const sum = (k: keyof ReturnType<typeof numbers>) => all.reduce((n, x) => n + x[k], 0);
        return { hypervisor_statistics: { count: rows.length, ...Object.fromEntries((Object.keys(numbers({ facts: {} } as HostRow)) as (keyof ReturnType<typeof numbers>)[]).map(k => [k, sum(k)])) } };
      },
    }),
    operation({ id: 'hypervisors.show', summary: 'One hypervisor', method: 'GET', path: '/os-hypervisors/:id', policy: 'os_compute_api:os-hypervisors:show', query: Query, reply: Shown, handler: async ctx => { const h = await find(ctx as never); const [row] = uuids(ctx as never) && ['true', '1'].includes(String(lastOf(ctx.query['with_servers'])).toLowerCase()) ? await withServers([h]) : [h]; return { hypervisor: lower(ctx as never, full(ctx as never, row as HostRow)) }; } }),
    operation({ id: 'hypervisors.uptime', summary: 'How long it runs', method: 'GET', path: '/os-hypervisors/:id/uptime', until: '2.87', policy: 'os_compute_api:os-hypervisors:uptime', handler: async ctx => { const h = await find(ctx as never); if (!h.up) throw new BadRequest(`Compute service of ${h.host} is unavailable at this time.`); return { hypervisor: { ...brief(ctx as never, h), uptime: uptime(h) } }; } }),
    operation({ id: 'hypervisors.search', summary: 'Find hypervisors by name', method: 'GET', path: '/os-hypervisors/:id/search', until: '2.52', policy: 'os_compute_api:os-hypervisors:search', handler: async ctx => ({ hypervisors: (await matching(ctx.params['id'] ?? '')).map(h => brief(ctx as never, h)) }) }),
    operation({ id: 'hypervisors.servers', summary: 'Servers of hypervisors found by name', method: 'GET', path: '/os-hypervisors/:id/servers', until: '2.52', policy: 'os_compute_api:os-hypervisors:servers', handler: async ctx => ({ hypervisors: (await withServers(await matching(ctx.params['id'] ?? ''))).map(h => { const b = brief(ctx as never, h); if (b.servers?.length === 0) delete b.servers; return b; }) }) }),
  ];
};
