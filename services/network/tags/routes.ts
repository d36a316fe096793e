import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { FloatingIps } from '../floating_ips/floating_ips.ts';
import { Networks } from '../networks/networks.ts';
import { Ports } from '../ports/ports.ts';
import { Policies } from '../qos/policies.ts';
import { find, type Collection } from '../rest/collection.ts';
import { tag } from '../rest/shapes.ts';
import { Routers } from '../routers/routers.ts';
import { Groups } from '../security_groups/groups.ts';
import { SubnetPools } from '../subnetpools/subnetpools.ts';
import { Subnets } from '../subnets/subnets.ts';

interface Tagged { readonly path: string; readonly rule: string; readonly table: string; readonly of: Collection<{ id: string; tags: string[] }> }
const kind = (path: string, rule: string, table: string, of: unknown): Tagged => ({ path, rule, table, of: of as Tagged['of'] });
const tagged: readonly Tagged[] = [
  kind('networks', 'network', 'networks', Networks), kind('subnets', 'subnet', 'subnets', Subnets), kind('ports', 'port', 'ports', Ports), kind('routers', 'router', 'routers', Routers),
  kind('floatingips', 'floatingip', 'floating_ips', FloatingIps), kind('security-groups', 'security_group', 'security_groups', Groups), kind('security_groups', 'security_group', 'security_groups', Groups),
  kind('subnetpools', 'subnetpool', 'subnetpools', SubnetPools), kind('policies', 'policy', 'qos_policies', Policies), kind('qos/policies', 'policy', 'qos_policies', Policies),
];
const Replace = shape('TagsReplace', z.strictObject({ tags: z.array(tag).max(50) }));

/** Tags are alike on everything that has them. */
export const tagRoutes = (rt: Runtime): Operation[] => tagged.flatMap(on => tagsOf(rt, on));

function tagsOf(rt: Runtime, on: Tagged): Operation[] {
  const locate = async (ctx: Context): Promise<{ id: string; tags: string[]; table: string }> => {
    const row = await find(rt.db, ctx, on.of, ctx.params['id'] ?? '');
    ctx.permit(on.of.target(row));
    return { id: row.id, tags: row.tags, table: on.table };
  };
  const set = (trx: Trx, at: { id: string; table: string }, tags: readonly string[]) => trx(at.table).where({ id: at.id }).update({ tags: [...new Set(tags)], updated_at: trx.fn.now(), revision_number: trx.raw('revision_number + 1') });
  return [
    operation({ id: `tags.${on.path}.list`, summary: 'Tags of a resource', method: 'GET', path: `/${on.path}/:id/tags`, policy: `get_${on.rule}:tags`, permit: 'object', handler: async ctx => ({ tags: (await locate(ctx as Context)).tags }) }),
    operation({ id: `tags.${on.path}.replace`, summary: 'Replace all tags', method: 'PUT', path: `/${on.path}/:id/tags`, policy: `update_${on.rule}:tags`, permit: 'object', body: Replace, handler: async ctx => { const at = await locate(ctx as Context); await set(rt.db, at, ctx.body.tags); return { tags: [...new Set(ctx.body.tags)] }; } }),
    operation({ id: `tags.${on.path}.clear`, summary: 'Remove all tags', method: 'DELETE', path: `/${on.path}/:id/tags`, policy: `delete_${on.rule}:tags`, permit: 'object', status: 204, handler: async ctx => { await set(rt.db, await locate(ctx as Context), []); return new Reply(204); } }),
    operation({
      id: `tags.${on.path}.show`, summary: 'Whether a tag is there', method: 'GET', path: `/${on.path}/:id/tags/:tag`, policy: `get_${on.rule}:tags`, permit: 'object', status: 204,
      handler: async ctx => { const at = await locate(ctx as Context); if (!at.tags.includes(ctx.params['tag'] ?? '')) throw new NotFound(`Tag ${ctx.params['tag']} could not be found.`, { kind: 'TagNotFound' }); return new Reply(204); },
    }),
    operation({
      id: `tags.${on.path}.add`, summary: 'Add a tag', method: 'PUT', path: `/${on.path}/:id/tags/:tag`, policy: `update_${on.rule}:tags`, permit: 'object', status: 201,
      handler: async ctx => {
        const at = await locate(ctx as Context);
        const parsed = tag.safeParse(ctx.params['tag']);
        if (!parsed.success) throw new BadRequest(`Invalid input for operation: '${ctx.params['tag']}' is not a valid tag.`, { kind: 'InvalidInput' });
        await transaction(rt.db, trx => set(trx, at, [...at.tags, parsed.data]));
        return new Reply(201);
      },
    }),
    operation({
      id: `tags.${on.path}.remove`, summary: 'Remove a tag', method: 'DELETE', path: `/${on.path}/:id/tags/:tag`, policy: `delete_${on.rule}:tags`, permit: 'object', status: 204,
      handler: async ctx => { const at = await locate(ctx as Context); if (!at.tags.includes(ctx.params['tag'] ?? '')) throw new NotFound(`Tag ${ctx.params['tag']} could not be found.`, { kind: 'TagNotFound' }); await set(rt.db, at, at.tags.filter(t => t !== ctx.params['tag'])); return new Reply(204); },
    }),
  ];
}
