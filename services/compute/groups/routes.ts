import { overLimit, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Forbidden, newId, NotFound, one, parseBool, shape, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { defaults } from '../quotas/limits.ts';
import { isAdmin } from '../servers/act.ts';
import { name, whole } from '../servers/fields.ts';

const policies = ['affinity', 'anti-affinity', 'soft-affinity', 'soft-anti-affinity'] as const;
const Create = shape('ServerGroupCreate', z.strictObject({ server_group: z.strictObject({ name, policy: z.enum(policies), rules: z.strictObject({ max_server_per_host: whole(1).optional() }).optional() }) }));
const Query = shape('ServerGroupQuery', z.strictObject({ all_projects: one(z.string()).optional(), limit: one(z.string().regex(/^[0-9]*$/)).optional(), offset: one(z.string().regex(/^[0-9]*$/)).optional() }));
const View = shape('ServerGroup', z.any());
const Shown = shape('ShownServerGroup', z.any(), { server_group: View });
const Listed = shape('ServerGroupList', z.any(), { server_groups: View });
interface Row { id: string; name: string; policy: string; rules: Record<string, number>; project_id: string; user_id: string; members: string[] }
interface Shape { policy?: string; rules?: object; policies?: string[]; metadata?: object; project_id?: string; user_id?: string }

export const changes: Change[] = [
  { at: '2.13', shape: 'ServerGroup', why: 'whose a group is', down: (g: Shape) => { delete g.project_id; delete g.user_id; return g; } },
  { at: '2.15', shape: 'ServerGroupCreate', why: 'soft policies', was: () => z.strictObject({ server_group: z.strictObject({ name, policies: z.array(z.enum(['affinity', 'anti-affinity'])).length(1) }) }) },
  { at: '2.64', shape: 'ServerGroup', why: 'one policy with rules instead of a list of policies', down: ({ policy, rules: _, ...g }: Shape) => ({ ...g, policies: [policy], metadata: {} }) },
  {
    at: '2.64', shape: 'ServerGroupCreate', why: 'one policy with rules instead of a list of policies', was: () => z.strictObject({ server_group: z.strictObject({ name, policies: z.array(z.enum(policies)).length(1) }) }),
    up: (b: { server_group: { name: string; policies: string[] } }) => ({ server_group: { name: b.server_group.name, policy: b.server_group.policies[0] } }),
  },
  { at: '2.75', shape: 'ServerGroupQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
];
const view = (r: Row) => ({ id: r.id, name: r.name, policy: r.policy, rules: r.rules, members: r.members, project_id: r.project_id, user_id: r.user_id });

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const rows = () => db('server_groups as g').select('g.*', db.raw(`array(select s.id::text from servers s where s.group_id = g.id and not s.deleted order by s.created_at) as members`));
  const find = async (ctx: Context): Promise<Row> => {
    const id = ctx.params['id'] ?? '';
    const row: Row | undefined = /^[0-9a-f-]{36}$/i.test(id) ? await rows().where('g.id', id).first() : undefined;
    if (!row || (row.project_id !== ctx.caller.projectId && !isAdmin(ctx))) throw new NotFound(`Instance group ${id} could not be found.`);
    ctx.permit({ project_id: row.project_id, user_id: row.user_id });
    return row;
  };
  return [
    operation({
      id: 'server_groups.list', summary: 'Server groups', method: 'GET', path: '/os-server-groups', policy: 'os_compute_api:os-server-groups:index', query: Query, reply: Listed,
      handler: async ctx => {
        const everyone = ctx.query.all_projects !== undefined && parseBool(ctx.query.all_projects || 'true') !== false && ctx.allows('os_compute_api:os-server-groups:index:all_projects', {});
        const query = rows().orderBy('g.created_at').offset(Math.min(Number(ctx.query.offset ?? 0), 0x7fffffff)).limit(Math.min(Number(ctx.query.limit || c.rt.settings.http.maxLimit), c.rt.settings.http.maxLimit));
        if (!everyone) query.where('g.project_id', ctx.caller.projectId ?? '');
        return { server_groups: (await query as Row[]).map(view) };
      },
    }),
    operation({
      id: 'server_groups.create', summary: 'Create a server group', method: 'POST', path: '/os-server-groups', policy: 'os_compute_api:os-server-groups:create', body: Create, reply: Shown,
      handler: ctx => transaction(db, async trx => {
        const g = ctx.body.server_group;
        if (g.rules?.max_server_per_host !== undefined && g.policy !== 'anti-affinity') throw new BadRequest('Only anti-affinity policy supports rules.');
        const project = ctx.caller.projectId ?? '';
        const [row] = await trx('server_groups').insert({ id: newId(), name: g.name, policy: g.policy, rules: JSON.stringify(g.rules ?? {}), project_id: project, user_id: ctx.caller.userId }).returning('*');
        if (await overLimit(trx, 'compute', project, ['server_groups'], defaults)) throw new Forbidden('Quota exceeded, too many server groups.');
        return { server_group: view({ ...row, members: [] }) };
      }),
    }),
    operation({ id: 'server_groups.show', summary: 'Show a server group', method: 'GET', path: '/os-server-groups/:id', policy: 'os_compute_api:os-server-groups:show', permit: 'object', reply: Shown, handler: async ctx => ({ server_group: view(await find(ctx as never)) }) }),
    operation({ id: 'server_groups.delete', summary: 'Delete a server group', method: 'DELETE', path: '/os-server-groups/:id', policy: 'os_compute_api:os-server-groups:delete', permit: 'object', handler: async ctx => { const { id } = await find(ctx as never); await db('server_groups').where({ id }).delete(); return new Reply(204); } }),
  ];
};
