import type { Trx } from '@cumulet/db';
import type { Context, Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { Ports } from '../ports/ports.ts';
import { find } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { projectFor } from '../rest/policy.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import { CreateFloatingIp, FloatingIps, UpdateFloatingIp, type FloatingIpRow } from './floating_ips.ts';
import { associate, insertFloatingIp, releaseFloatingIp } from './service.ts';

export function floatingIpRoutes(rt: Runtime): Operation[] {
  const floatingIps = operationsOf(rt, FloatingIps, { path: '/floatingips', one: 'a floating IP', many: 'floating IPs' });
  const point = async (trx: Trx, ctx: Context, fip: FloatingIpRow, b: { port_id?: string | null | undefined; fixed_ip_address?: string | null | undefined }) => {
    const port = b.port_id ? await find(trx, ctx, Ports, b.port_id) : undefined;
    if (port && port.project_id !== fip.project_id && !ctx.allows('context_is_admin')) throw new BadRequest(`Bad floatingip request: Port ${port.id} is associated with a different project than Floating IP ${fip.id} and therefore cannot be bound.`, { kind: 'BadRequest' });
    for (const router of await associate(trx, fip, b.port_id ? { portId: b.port_id, fixedIp: b.fixed_ip_address ?? undefined } : null)) await applyRouter(rt.tasks, trx, router.id, router.host);
  };
  return [
    ...floatingIps.reading(),
    floatingIps.creating(CreateFloatingIp, {
      given: body => [body.floatingip],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        ctx.permit({ project_id: project, tenant_id: project });
        if (b.floating_ip_address !== undefined) ctx.require('create_floatingip:floating_ip_address', { project_id: project, tenant_id: project });
        await find(trx, ctx, Networks, b.floating_network_id);
        const id = await insertFloatingIp(trx, project, b);
        if (b.port_id) await point(trx, ctx, await FloatingIps.select(trx).whereRaw('t.id = ?', [id]).first() as unknown as FloatingIpRow, b);
        return id;
      },
    }),
    floatingIps.updating(UpdateFloatingIp, {
      async change(trx, ctx, fip, { floatingip: b }) {
        if (b.description !== undefined) await trx('floating_ips').where({ id: fip.id }).update({ description: b.description, ...touched(trx) });
        // As upstream: an update that does not speak of the port leaves it, an empty one takes it away.
        if (b.port_id !== undefined || Object.keys(b).length === 0) await point(trx, ctx, fip, b);
        else if (b.fixed_ip_address && fip.port_id) await point(trx, ctx, fip, { port_id: fip.port_id, fixed_ip_address: b.fixed_ip_address });
      },
    }),
    floatingIps.deleting({
      async remove(trx, fip) {
        const router = await releaseFloatingIp(trx, fip);
        if (router) await applyRouter(rt.tasks, trx, router.id, router.host);
      },
    }),
  ];
}
