import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { Ports } from '../ports/ports.ts';
import { find, shownTo } from '../rest/collection.ts';
import { projectFor } from '../rest/policy.ts';
import { reading } from '../rest/reading.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import { CreateFloatingIp, FloatingIps, UpdateFloatingIp, type FloatingIpRow } from './floating_ips.ts';
import { associate, insertFloatingIp, releaseFloatingIp } from './service.ts';

export function floatingIpRoutes(rt: Runtime): Operation[] {
  type T = Parameters<Parameters<typeof transaction>[1]>[0];
  const row = async (trx: T, id: string) => await FloatingIps.select(trx).whereRaw('t.id = ?', [id]).first() as unknown as FloatingIpRow;
  const point = async (trx: T, ctx: Context, fip: FloatingIpRow, b: { port_id?: string | null | undefined; fixed_ip_address?: string | null | undefined }) => {
    const port = b.port_id ? await find(trx, ctx, Ports, b.port_id) : undefined;
    if (port && port.project_id !== fip.project_id && !ctx.allows('context_is_admin')) throw new BadRequest(`Bad floatingip request: Port ${port.id} is associated with a different project than Floating IP ${fip.id} and therefore cannot be bound.`, { kind: 'BadRequest' });
    for (const router of await associate(trx, fip, b.port_id ? { portId: b.port_id, fixedIp: b.fixed_ip_address ?? undefined } : null)) await applyRouter(rt.tasks, trx, router.id, router.host);
  };
  return [
    ...reading(rt, FloatingIps, { path: '/floatingips', one: 'a floating IP', many: 'floating IPs', hidden: 'floating IPs' }),
    operation({
      id: 'floatingips.create', summary: 'Allocate a floating IP', method: 'POST', path: '/floatingips', policy: 'create_floatingip', permit: 'object', body: CreateFloatingIp, status: 201,
      handler: async ctx => {
        const b = ctx.body.floatingip;
        const project = projectFor(ctx as Context, b);
        ctx.permit({ project_id: project, tenant_id: project });
        if (b.floating_ip_address !== undefined) ctx.require('create_floatingip:floating_ip_address', { project_id: project, tenant_id: project });
        return transaction(rt.db, async trx => {
          await find(trx, ctx as Context, Networks, b.floating_network_id);
          const id = await insertFloatingIp(trx, project, b);
          if (b.port_id) await point(trx, ctx as Context, await row(trx, id), b);
          return { floatingip: shownTo(ctx, FloatingIps, await row(trx, id)) };
        });
      },
    }),
    operation({
      id: 'floatingips.update', summary: 'Associate or dissociate a floating IP', method: 'PUT', path: '/floatingips/:id', policy: 'update_floatingip', permit: 'object', body: UpdateFloatingIp,
      handler: async ctx => {
        const fip = await find(rt.db, ctx as Context, FloatingIps, ctx.params['id'] ?? '');
        ctx.permit(FloatingIps.target(fip));
        const b = ctx.body.floatingip;
        return transaction(rt.db, async trx => {
          if (b.description !== undefined) await trx('floating_ips').where({ id: fip.id }).update({ description: b.description, ...touched(trx) });
          // As upstream: an update that does not speak of the port leaves it, an empty one takes it away.
          if (b.port_id !== undefined || Object.keys(b).length === 0) await point(trx, ctx as Context, fip, b);
          else if (b.fixed_ip_address && fip.port_id) await point(trx, ctx as Context, fip, { port_id: fip.port_id, fixed_ip_address: b.fixed_ip_address });
          return { floatingip: shownTo(ctx, FloatingIps, await row(trx, fip.id)) };
        });
      },
    }),
    operation({
      id: 'floatingips.delete', summary: 'Release a floating IP', method: 'DELETE', path: '/floatingips/:id', policy: 'delete_floatingip', permit: 'object', status: 204,
      handler: async ctx => {
        const fip = await find(rt.db, ctx as Context, FloatingIps, ctx.params['id'] ?? '');
        ctx.permit(FloatingIps.target(fip));
        await transaction(rt.db, async trx => {
          const router = await releaseFloatingIp(trx, fip);
          if (router) await applyRouter(rt.tasks, trx, router.id, router.host);
        });
        return new Reply(204);
      },
    }),
  ];
}
