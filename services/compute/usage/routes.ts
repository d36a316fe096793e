import { keyset } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, micros, NotFound, one, shape, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { nextLink, pageSize } from '../paging.ts';
import type { ServerRow } from '../servers/row.ts';
import { statusOf } from '../servers/states.ts';

const Query = shape('UsageQuery', z.strictObject({ start: one(z.string()).optional(), end: one(z.string()).optional(), detailed: one(z.string()).optional(), limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: one(z.string()).optional() }));
export const changes: Change[] = [
  { at: '2.40', trait: 'usage pages', why: 'usage comes in pages' },
  { at: '2.75', shape: 'UsageQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
];
type Line = Pick<ServerRow, 'id' | 'name' | 'project_id' | 'launched_at' | 'terminated_at' | 'vcpus' | 'memory_mb' | 'flavor' | 'vm_state' | 'task_state'>;

/** Nova's own forms: with or without microseconds, a T or a blank between. */
function moment(text: string): Date {
  const ok = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?Z?$/.test(text);
  const at = new Date(`${text.replace(' ', 'T').replace(/Z$/, '').replace(/(\.\d{3})\d*$/, '$1')}${/T| /.test(text) ? 'Z' : 'T00:00:00Z'}`);
  if (!ok || Number.isNaN(at.getTime())) throw new BadRequest(`Datetime is in invalid format`);
  return at;
}

/** The same moment as Python's isoformat() has it: with the microseconds that were asked about, and none where they are zero. */
function isoformat(at: Date, given: string | undefined): string {
  const fraction = /\.(\d{1,6})/.exec(given ?? '')?.[1]?.padEnd(6, '0') ?? micros(at).slice(20);
  return `${at.toISOString().slice(0, 19)}${Number(fraction) === 0 ? '' : `.${fraction}`}`;
}

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const period = (ctx: Context<unknown, { start?: string | undefined; end?: string | undefined }>) => {
    const now = new Date(c.rt.clock());
    const stop = ctx.query.end === undefined ? now : moment(ctx.query.end);
    const start = ctx.query.start === undefined ? new Date(now.getTime() - 2_419_200_000) : moment(ctx.query.start);
    if (start >= stop) throw new BadRequest('Invalid start time. The start time cannot occur after the end time.');
    return { start, stop, now, says: { start: isoformat(start, ctx.query.start), stop: isoformat(stop, ctx.query.end) } };
  };
  /**
   * Servers that ran in the period, in upstream's order; a page of them from 2.40 on, whose totals are those of the page. Clients go on from the last
   * server until a page is empty.
   */
  const lines = async (ctx: Context<unknown, { limit?: string | undefined; marker?: string | undefined }>, { start, stop }: { start: Date; stop: Date }, project?: string): Promise<{ rows: Line[]; links: ReturnType<typeof nextLink> | undefined }> => {
    const query = db('servers').whereNotNull('launched_at').where('launched_at', '<', stop).where(q => q.whereNull('terminated_at').orWhere('terminated_at', '>', start)).select('id', 'name', 'project_id', 'launched_at', 'terminated_at', 'vcpus', 'memory_mb', 'flavor', 'vm_state', 'task_state');
    if (project !== undefined) query.where({ project_id: project });
    const pages = ctx.dialect.has('usage pages');
    const limit = pages ? pageSize(c.rt, ctx.query.limit) : undefined;
    const marker = pages && ctx.query.marker !== undefined ? await db('servers').whereRaw('id::text = ?', [ctx.query.marker]).first('project_id', 'id') as Pick<Line, 'project_id' | 'id'> | undefined : undefined;
    if (pages && ctx.query.marker !== undefined && marker === undefined) throw new BadRequest(`Marker ${ctx.query.marker} could not be found.`);
    const rows: Line[] = await keyset(query, [{ column: 'project_id', dir: 'asc', after: marker?.project_id, notNull: true }, { column: 'id', dir: 'asc', after: marker?.id, notNull: true }], limit);
    const last = rows.at(-1);
    return { rows, links: last !== undefined && rows.length === limit ? nextLink(ctx, last.id) : undefined };
  };
  const sum = (tenant: string, rows: readonly Line[], p: { start: Date; stop: Date; now: Date; says: { start: string; stop: string } }, detailed: boolean) => {
    const each = rows.map(r => {
      const from = Math.max((r.launched_at as Date).getTime(), p.start.getTime());
      const to = Math.min(r.terminated_at?.getTime() ?? p.now.getTime(), p.stop.getTime());
      const hours = Math.max(0, to - from) / 3_600_000;
      const disk = r.flavor.root_gb + r.flavor.ephemeral_gb;
      return {
        hours, disk, row: r,
        view: {
          instance_id: r.id, name: r.name, hours, tenant_id: tenant, flavor: r.flavor.name, vcpus: r.vcpus, memory_mb: r.memory_mb, local_gb: disk, started_at: micros(r.launched_at as Date), ended_at: r.terminated_at === null ? null : micros(r.terminated_at),
          state: r.terminated_at === null ? statusOf(r.vm_state, null).toLowerCase() : 'terminated', uptime: Math.floor(((r.terminated_at ?? p.now).getTime() - (r.launched_at as Date).getTime()) / 1000),
        },
      };
    });
    const total = (of: (e: (typeof each)[number]) => number) => each.reduce((n, e) => n + of(e) * e.hours, 0);
    return {
      tenant_id: tenant, total_local_gb_usage: total(e => e.disk), total_vcpus_usage: total(e => e.row.vcpus), total_memory_mb_usage: total(e => e.row.memory_mb), total_hours: total(() => 1), ...p.says, ...(detailed ? { server_usages: each.map(e => e.view) } : {}),
    };
  };
  return [
    operation({
      id: 'usage.list', summary: 'Use of every project', method: 'GET', path: '/os-simple-tenant-usage', policy: 'os_compute_api:os-simple-tenant-usage:list', query: Query,
      handler: async ctx => {
        // `/os-simple-tenant-usage/` names a project that has no name.
        if (ctx.path.endsWith('/')) throw new NotFound();
        const p = period(ctx as never);
        const { rows, links } = await lines(ctx, p);
        const usages = [...Map.groupBy(rows, r => r.project_id)].map(([tenant, of]) => sum(tenant, of, p, ctx.query.detailed === '1'));
        return { tenant_usages: usages, ...(links === undefined ? {} : { tenant_usages_links: links }) };
      },
    }),
    operation({
      id: 'usage.show', summary: 'Use of one project', method: 'GET', path: '/os-simple-tenant-usage/:tenant_id', policy: 'os_compute_api:os-simple-tenant-usage:show', permit: 'object', query: Query,
      handler: async ctx => {
        const tenant = ctx.params['tenant_id'] ?? '';
        ctx.permit({ project_id: tenant });
        const p = period(ctx as never);
        const { rows, links } = await lines(ctx, p, tenant);
        return { tenant_usage: rows.length === 0 ? {} : sum(tenant, rows, p, true), ...(links === undefined ? {} : { tenant_usage_links: links }) };
      },
    }),
    ...['/os-instance_usage_audit_log', '/os-instance_usage_audit_log/:before'].map((path, i) => operation({
      id: i === 0 ? 'usage_audit.list' : 'usage_audit.show', summary: 'What usage audits have run', method: 'GET', path, policy: `os_compute_api:os-instance-usage-audit-log:${i === 0 ? 'list' : 'show'}`,
      handler: async ctx => {
        const before = ctx.params['before'];
        if (before !== undefined && !/^\d{4}-\d{2}-\d{2}( \d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$/.test(before)) throw new BadRequest(`Invalid timestamp for date ${before}`);
        const at = before === undefined ? new Date(c.rt.clock()) : new Date(`${before.slice(0, 10)}T00:00:00Z`);
        const [from, to] = [new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - 1, 1)), new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1))];
        const text = (d: Date) => d.toISOString().slice(0, 19).replace('T', ' ');
        const hosts = (await db('compute_hosts').where({ deleted: false }).orderBy('host').select('host') as { host: string }[]).map(h => h.host);
        // Usage is computed when it is asked for: no audit ever runs, and the answer is that of a cloud in which none has.
        const log = { period_beginning: text(from), period_ending: text(to), num_hosts: hosts.length, num_hosts_done: 0, num_hosts_running: 0, num_hosts_not_run: hosts.length, hosts_not_run: hosts, total_instances: 0, total_errors: 0, overall_status: `0 of ${hosts.length} hosts done. 0 errors.`, log: {} };
        return i === 0 ? { instance_usage_audit_logs: log } : { instance_usage_audit_log: log };
      },
    })),
  ];
};
