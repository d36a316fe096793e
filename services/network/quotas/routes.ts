import { limitsOf, transaction, usageOf } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { quotaDefaults } from './quota.ts';

const limit = z.preprocess(v => (typeof v === 'string' && /^-?\d+$/.test(v) ? Number(v) : v), z.int().min(-1).max(2_147_483_647)).optional();
const Update = shape('QuotaUpdate', z.strictObject({ quota: z.strictObject({ ...Object.fromEntries(Object.keys(quotaDefaults).map(k => [k, limit])), force: z.unknown().optional(), check_limit: z.unknown().optional(), tenant_id: z.string().optional(), project_id: z.string().optional() }) }));

export function quotaRoutes(rt: Runtime): Operation[] {
  const target = (ctx: Pick<Context, 'params'>) => ({ project_id: ctx.params['project_id'], tenant_id: ctx.params['project_id'] });
  /** Whoever belongs to a project may read its limits; the rule is for other projects'. */
  const reading = { anyone: 'limits of the own project; those of another ask get_quota' };
  const readable = (ctx: Pick<Context, 'params' | 'caller' | 'require'>) => { if (ctx.params['project_id'] !== ctx.caller.projectId) ctx.require('get_quota', target(ctx)); };
  const show = async (projectId: string) => ({ quota: await limitsOf(rt.db, 'network', projectId, quotaDefaults) });
  return [
    operation({
      id: 'quotas.list', summary: 'Projects with limits of their own', method: 'GET', path: '/quotas', policy: 'get_quota', permit: 'object',
      handler: async ctx => {
        ctx.permit({ project_id: undefined, tenant_id: undefined });
        const projects: { project_id: string }[] = await rt.db('quotas').where({ service: 'network' }).distinct('project_id').orderBy('project_id');
        return { quotas: await Promise.all(projects.map(async p => ({ ...(await show(p.project_id)).quota, project_id: p.project_id, tenant_id: p.project_id }))) };
      },
    }),
    operation({ id: 'quotas.own', summary: 'Whose quota the caller has', method: 'GET', path: '/quotas/tenant', policy: { anyone: 'tells the caller its own project' }, handler: ctx => ({ tenant: { tenant_id: ctx.caller.projectId ?? null } }) }),
    operation({ id: 'quotas.own_project', summary: 'Whose quota the caller has', method: 'GET', path: '/quotas/project', policy: { anyone: 'tells the caller its own project' }, handler: ctx => ({ project: { project_id: ctx.caller.projectId ?? null } }) }),
    operation({ id: 'quotas.show', summary: 'Limits of a project', method: 'GET', path: '/quotas/:project_id', policy: reading, handler: ctx => { readable(ctx); return show(ctx.params['project_id'] ?? ''); } }),
    operation({ id: 'quotas.defaults', summary: 'Default limits', method: 'GET', path: '/quotas/:project_id/default', policy: reading, handler: async ctx => { readable(ctx); return { quota: await limitsOf(rt.db, 'network', 'class:default', quotaDefaults) }; } }),
    // openstacksdk asks for the first, neutronclient for the second.
    ...['details', 'details.json'].map(last => operation({
      id: `quotas.${last.replace('.', '_')}`, summary: 'Limits and usage of a project', method: 'GET', path: `/quotas/:project_id/${last}`, policy: reading,
      handler: async ctx => {
        readable(ctx);
        const { quota } = await show(ctx.params['project_id'] ?? '');
        const used = await usageOf(rt.db, 'network', ctx.params['project_id'] ?? '');
        return { quota: Object.fromEntries(Object.entries(quota).map(([k, v]) => [k, { limit: v, used: used[k] ?? 0, reserved: 0 }])) };
      },
    })),
    operation({
      id: 'quotas.update', summary: 'Set limits of a project', method: 'PUT', path: '/quotas/:project_id', policy: 'update_quota', permit: 'object', body: Update,
      handler: async ctx => {
        ctx.permit(target(ctx));
        const projectId = ctx.params['project_id'] ?? '';
        const rows = Object.entries(ctx.body.quota).filter(([k, v]) => Object.hasOwn(quotaDefaults, k) && v !== undefined).map(([resource, hard_limit]) => ({ service: 'network', project_id: projectId, resource, hard_limit: hard_limit as number }));
        await transaction(rt.db, async trx => { for (const row of rows) await trx('quotas').insert(row).onConflict(['service', 'project_id', 'resource']).merge(); });
        return show(projectId);
      },
    }),
    operation({
      id: 'quotas.delete', summary: 'Back to the default limits', method: 'DELETE', path: '/quotas/:project_id', policy: 'delete_quota', permit: 'object', status: 204,
      handler: async ctx => { ctx.permit(target(ctx)); await rt.db('quotas').where({ service: 'network', project_id: ctx.params['project_id'] ?? '' }).delete(); return new Reply(204); },
    }),
  ];
}
