import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { find, given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { Subnets } from '../subnets/subnets.ts';
import { applyNetwork, applyRouter, routerHost } from '../wiring/enqueue.ts';
import { checkRoutes, extraRoutes } from './extra_routes.ts';
import { CreateRouter, InterfaceBody, Routers, UpdateRouter, type RouterRow } from './routers.ts';
import { addInterface, deleteRouter, insertRouter, removeInterface, setGateway, type Plugged } from './service.ts';

const guarded = ['distributed', 'ha', 'external_gateway_info'];

export function routerRoutes(rt: Runtime): Operation[] {
  const routers = operationsOf(rt, Routers, { path: '/routers', one: 'a router', many: 'routers' });
  const plugged = (router: RouterRow, p: Plugged) => ({ id: router.id, tenant_id: router.project_id, project_id: router.project_id, port_id: p.portId, network_id: p.networkId, subnet_id: p.subnets.at(-1), subnet_ids: p.subnets });
  return [
    ...routers.reading(),
    routers.creating(CreateRouter, {
      given: body => [body.router],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        permitAttributes(ctx, 'create', 'router', b, guarded, { project_id: project, tenant_id: project });
        checkPlace(b);
        const host = await routerHost(trx);
        const id = await insertRouter(trx, project, b, host);
        await checkQuota(trx, project, ['router']);
        if (b.external_gateway_info && 'network_id' in b.external_gateway_info) {
          await find(trx, ctx, Networks, b.external_gateway_info.network_id);
          await setGateway(trx, { id, gateway_port_id: null, external_network_id: null, host }, b.external_gateway_info);
        }
        if (b.routes) await checkRoutes(trx, id, b.routes);
        await applyRouter(rt.tasks, trx, id, host);
        return id;
      },
    }),
    routers.updating(UpdateRouter, {
      permit: (ctx, row, { router: b }) => permitAttributes(ctx, 'update', 'router', b, guarded, Routers.target(row)),
      async change(trx, ctx, row, { router: b }) {
        checkPlace(b);
        if (b.external_gateway_info !== undefined) {
          if (b.external_gateway_info && 'network_id' in b.external_gateway_info) await find(trx, ctx, Networks, b.external_gateway_info.network_id);
          await setGateway(trx, row, b.external_gateway_info);
        }
        if (b.routes) await checkRoutes(trx, row.id, b.routes);
        const columns = { name: b.name, description: b.description, admin_state_up: b.admin_state_up, routes: b.routes === undefined ? undefined : JSON.stringify(b.routes ?? []) };
        await trx('routers').where({ id: row.id }).update({ ...given(columns), ...touched(trx) });
        await applyRouter(rt.tasks, trx, row.id, row.host);
      },
    }),
    routers.deleting({
      async remove(trx, row) {
        const used = await trx('ports').where({ device_id: row.id, device_owner: 'network:router_interface' }).first('id');
        if (used) throw new Conflict(`Router ${row.id} still has ports`, { kind: 'RouterInUse' });
        await deleteRouter(rt.tasks, trx, row);
      },
    }),
    operation({
      id: 'routers.add_interface', summary: 'Connect a router to a subnet', method: 'PUT', path: '/routers/:id/add_router_interface', policy: 'add_router_interface', permit: 'object', body: InterfaceBody,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
        ctx.permit(Routers.target(row));
        if (ctx.body.subnet_id !== undefined) await find(rt.db, ctx as Context, Subnets, ctx.body.subnet_id);
        return transaction(rt.db, async trx => {
          const p = await addInterface(trx, row, ctx.body, row.project_id);
          await trx('routers').where({ id: row.id }).update(touched(trx));
          await applyRouter(rt.tasks, trx, row.id, row.host);
          return plugged(row, p);
        });
      },
    }),
    operation({
      id: 'routers.remove_interface', summary: 'Disconnect a router from a subnet', method: 'PUT', path: '/routers/:id/remove_router_interface', policy: 'remove_router_interface', permit: 'object', body: InterfaceBody,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
        ctx.permit(Routers.target(row));
        return transaction(rt.db, async trx => {
          const p = await removeInterface(trx, row, ctx.body);
          await trx('routers').where({ id: row.id }).update(touched(trx));
          await applyRouter(rt.tasks, trx, row.id, row.host);
          await applyNetwork(rt.tasks, trx, p.networkId);
          return plugged(row, p);
        });
      },
    }),
    ...extraRoutes(rt),
  ];
}

function checkPlace(b: { distributed?: boolean | undefined; ha?: boolean | undefined }): void {
  if (b.distributed || b.ha) throw new BadRequest('Invalid input for operation: a router of this cloud is on one host; it can be neither distributed nor highly available.', { kind: 'InvalidInput' });
}
