import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, before, Conflict, micros, NotFound, one, orNull, parseTime, shape, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import { askHost } from '../actions/console.ts';
import { bare } from '../actions/power.ts';
import type { Compute } from '../compute.ts';
import { nextLink, pageSize } from '../paging.ts';
import { record, refuseLocked, serverFor } from '../servers/act.ts';

const text = one(z.string()).optional();
const Query = shape('MigrationQuery', z.strictObject({ hidden: text, host: text, instance_uuid: text, source_compute: text, status: text, migration_type: text, limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: text, 'changes-since': text, 'changes-before': text, user_id: text, project_id: text }));
const View = shape('Migration', z.any());
const Listed = shape('MigrationList', z.any(), { migrations: View });
const OfServer = shape('ServerMigration', z.any());
const OfServerShown = shape('ShownServerMigration', z.any(), { migration: OfServer });
const OfServerListed = shape('ServerMigrationList', z.any(), { migrations: OfServer });
export const changes: Change[] = [
  { at: '2.23', shape: 'Migration', why: 'which kind of migration it is', down: without('migration_type', 'links') },
  { at: '2.59', shape: 'Migration', why: 'migrations have UUIDs', down: without('uuid') },
  { at: '2.59', shape: 'ServerMigration', why: 'migrations have UUIDs', down: without('uuid') },
  { at: '2.59', trait: 'migration pages', why: 'migrations are listed in pages' },
  { at: '2.65', trait: 'abort of waiting migrations', why: 'a live migration that waits can be aborted too' },
  { at: '2.66', shape: 'MigrationQuery', why: 'changes-before', was: before([], 'changes-before') },
  { at: '2.75', shape: 'MigrationQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
  { at: '2.80', shape: 'Migration', why: 'whose a migration is', down: without('user_id', 'project_id') },
  { at: '2.80', shape: 'ServerMigration', why: 'whose a migration is', down: without('user_id', 'project_id') },
];
interface Row { num: number; id: string; server_id: string; project_id: string; user_id: string; type: string; status: string; source_host: string | null; dest_host: string | null; dest_address: string | null; old_flavor: number | null; new_flavor: number | null; task_id: string | null; created_at: Date; updated_at: Date | null }
const common = (r: Row) => ({ id: r.num, uuid: r.id, source_compute: r.source_host, dest_compute: r.dest_host, source_node: r.source_host, dest_node: r.dest_host, dest_host: r.dest_address, status: r.status, created_at: micros(r.created_at), updated_at: orNull(micros)(r.updated_at), user_id: r.user_id, project_id: r.project_id });
const underWay = ['queued', 'preparing', 'running', 'post-migrating', 'accepted', 'pre-migrating'];
const view = (ctx: Context, r: Row) => ({
  ...common(r), old_instance_type_id: r.old_flavor, new_instance_type_id: r.new_flavor, instance_uuid: r.server_id, migration_type: r.type,
  ...(r.type === 'live-migration' && underWay.includes(r.status) ? { links: [{ rel: 'self', href: `${ctx.baseUrl}/v2.1/servers/${r.server_id}/migrations/${r.num}` }, { rel: 'bookmark', href: `${ctx.baseUrl}/servers/${r.server_id}/migrations/${r.num}` }] } : {}),
});
/** How far it is: the progress of the task that runs where the guest leaves. */
const serverView = (r: Row & { done?: string | null; total?: string | null }) => {
  const [total, done] = [Number(r.total ?? 0), Number(r.done ?? 0)];
  return { ...common(r), server_uuid: r.server_id, memory_total_bytes: total, memory_processed_bytes: done, memory_remaining_bytes: Math.max(0, total - done), disk_total_bytes: 0, disk_processed_bytes: 0, disk_remaining_bytes: 0 };
};
const stateOf = (r: Row, what: string) => new BadRequest(`Migration ${r.id} state of instance ${r.server_id} is ${r.status}. Cannot ${what} while the migration is in this state.`);

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  /** With the address of the host that the server goes to. */
  const migrations = () => db('server_migrations as m').select('m.*', db.raw(`(select h.facts ->> 'address' from compute_hosts h where h.host = m.dest_host order by h.deleted limit 1) as dest_address`));
  const live = (serverId: string) => migrations().where({ server_id: serverId, type: 'live-migration' }).whereIn('m.status', underWay).select(db.raw(`(select c.progress_done from tasks c where c.parent_id = m.task_id and c.parent_step = 'go') as done, (select c.progress_total from tasks c where c.parent_id = m.task_id and c.parent_step = 'go') as total`));
  const running = async (ctx: Context): Promise<Row> => {
    const row = await serverFor(ctx, db);
    const id = ctx.params['id'] ?? '';
    const found: Row | undefined = /^\d{1,9}$/.test(id) ? await live(row.id).where({ num: Number(id) }).first() : undefined;
    if (!found) throw new NotFound(`In-progress live migration ${id} is not found for server ${row.id}.`);
    return found;
  };
  /** What is to be changed: the server must migrate, and then the migration must be its own. */
  const underWayOf = async (ctx: Context, action: 'abort live migration' | 'force_complete'): Promise<Row> => {
    const row = await serverFor(ctx, db);
    refuseLocked(ctx, row);
    if (action === 'force_complete' && row.vm_state !== 'active') throw new Conflict(`Cannot '${action}' instance ${row.id} while it is in vm_state ${row.vm_state}`);
    if (row.task_state === null) throw new Conflict(`Instance ${row.id} is in an invalid state for '${action}'`);
    if (row.task_state !== 'migrating') throw new Conflict(`Cannot '${action}' instance ${row.id} while it is in task_state ${row.task_state}`);
    const id = ctx.params['id'] ?? '';
    const found: Row | undefined = /^\d{1,9}$/.test(id) ? await db('server_migrations').where({ server_id: row.id, num: Number(id) }).first() : undefined;
    const why = `Migration ${id} not found for instance ${row.id}`;
    if (!found) throw action === 'force_complete' ? new BadRequest(why) : new NotFound(why);
    return found;
  };
  return [
    operation({
      id: 'migrations.list', summary: 'Migrations', method: 'GET', path: '/os-migrations', policy: 'os_compute_api:os-migrations:index', query: Query, reply: Listed,
      handler: async ctx => {
        const q = ctx.query;
        const pages = ctx.dialect.has('migration pages');
        const query = migrations().orderByRaw('created_at desc nulls last, num desc nulls last');
        if (!ctx.allows('os_compute_api:os-migrations:index:all_projects', {})) query.where({ project_id: ctx.caller.projectId ?? '' });
        if (q.host !== undefined) { const host = q.host; query.where(w => w.where({ source_host: host }).orWhere({ dest_host: host })); }
        if (q.source_compute !== undefined) query.where({ source_host: q.source_compute });
        if (q.status !== undefined) query.where({ status: q.status });
        if (q.migration_type !== undefined) query.where({ type: q.migration_type });
        if (q.instance_uuid !== undefined) query.whereRaw('server_id::text = ?', [q.instance_uuid]);
        if (q.user_id !== undefined) query.where({ user_id: q.user_id });
        if (q.project_id !== undefined) query.where({ project_id: q.project_id });
        const time = (name: 'changes-since' | 'changes-before', sign: string) => { const t = q[name]; if (t === undefined || !pages) return undefined; const at = parseTime(t); if (!at) throw new BadRequest(`Invalid input for query parameters ${name}. Value: ${t}. '${t}' is not a 'date-time'`); query.whereRaw(`coalesce(updated_at, created_at) ${sign} ?`, [at]); return at; };
        const [since, until] = [time('changes-since', '>='), time('changes-before', '<=')];
        if (since && until && since > until) throw new BadRequest('The value of changes-since must be less than or equal to changes-before.');
        const limit = pages ? pageSize(c.rt, q.limit) : c.rt.settings.http.maxLimit;
        query.limit(limit);
        if (pages && q.marker !== undefined) {
          const marker: Row | undefined = /^[0-9a-f-]{36}$/i.test(q.marker) ? await db('server_migrations').where({ id: q.marker }).first() : undefined;
          if (!marker) throw new BadRequest(`Marker ${q.marker} not found.`);
          query.whereRaw('(created_at, num) < (?, ?)', [marker.created_at, marker.num]);
        }
        const rows: Row[] = await query;
        return { migrations: rows.map(r => view(ctx as never, r)), ...(pages && q.limit !== undefined && rows.length === limit && rows.length > 0 ? { migrations_links: nextLink(ctx, rows.at(-1)?.id as string) } : {}) };
      },
    }),
    operation({
      id: 'server_migrations.list', summary: 'Live migrations of a server', method: 'GET', path: '/servers/:server_id/migrations', since: '2.23', policy: 'os_compute_api:servers:migrations:index', permit: 'object', reply: OfServerListed,
      handler: async ctx => { const row = await serverFor(ctx as never, db); return { migrations: (await live(row.id).orderBy('m.num') as Row[]).map(serverView) }; },
    }),
    operation({ id: 'server_migrations.show', summary: 'One live migration', method: 'GET', path: '/servers/:server_id/migrations/:id', since: '2.23', policy: 'os_compute_api:servers:migrations:show', permit: 'object', reply: OfServerShown, handler: async ctx => ({ migration: serverView(await running(ctx as never)) }) }),
    operation({
      id: 'server_migrations.delete', summary: 'Abort a live migration', method: 'DELETE', path: '/servers/:server_id/migrations/:id', since: '2.24', policy: 'os_compute_api:servers:migrations:delete', permit: 'object',
      handler: async ctx => {
        const m = await underWayOf(ctx as never, 'abort live migration');
        // Before 2.65 only one that runs could be aborted.
        if (m.status !== 'running' && !(ctx.dialect.has('abort of waiting migrations') && ['queued', 'preparing'].includes(m.status))) throw stateOf(m, 'abort live migration');
        const { task_id: task } = m;
        await transaction(db, async trx => {
          if (task !== null) await c.rt.tasks.cancel(trx, task);
          await record(trx, ctx as never, m.server_id, 'live_migration_cancel', null);
        });
        return new Reply(202);
      },
    }),
    operation({
      id: 'server_migrations.force_complete', summary: 'Finish a live migration at any price', method: 'POST', path: '/servers/:server_id/migrations/:id/action', action: 'force_complete', since: '2.22', policy: 'os_compute_api:servers:migrations:force_complete', permit: 'object', body: bare('force_complete'),
      handler: async ctx => {
        const m = await underWayOf(ctx as never, 'force_complete');
        if (m.status !== 'running') throw stateOf(m, 'force complete');
        await askHost(c, ctx as never, m.source_host ?? '', m.server_id, { serverId: m.server_id, what: 'force' });
        await record(db, ctx as never, m.server_id, 'live_migration_force_complete', null);
        return new Reply(202);
      },
    }),
  ];
};
