import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { find, writtenView } from '../rest/collection.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { reading } from '../rest/reading.ts';
import { Subnets } from '../subnets/subnets.ts';
import { applyNetwork, applyRouter, routerHost } from '../wiring/enqueue.ts';
import { checkRoutes, extraRoutes } from './extra_routes.ts';
import { CreateRouter, InterfaceBody, Routers, UpdateRouter, type RouterRow } from './routers.ts';
import { addInterface, deleteRouter, insertRouter, removeInterface, setGateway, type Plugged } from './service.ts';

const guarded = ['distributed', 'ha', 'external_gateway_info'];

export function routerRoutes(rt: Runtime): Operation[] {
  const shown = async (trx: Trx, ctx: Pick<Context, 'caller' | 'allows'>, id: string) => ({ router: await writtenView(trx, ctx, Routers, id) });
  const plugged = (router: RouterRow, p: Plugged) => ({ id: router.id, tenant_id: router.project_id, project_id: router.project_id, port_id: p.portId, network_id: p.networkId, subnet_id: p.subnets.at(-1), subnet_ids: p.subnets });
  return [
    ...reading(rt, Routers, { path: '/routers', one: 'a router', many: 'routers', hidden: 'routers' }),
    operation({
      id: 'routers.create', summary: 'Create a router', method: 'POST', path: '/routers', policy: 'create_router', permit: 'object', body: CreateRouter, status: 201,
      handler: async ctx => {
        const b = ctx.body.router;
        const project = projectFor(ctx as Context, b);
        permitAttributes(ctx as Context, 'create', 'router', b, guarded, { project_id: project, tenant_id: project });
        return transaction(rt.db, async trx => {
          const host = await routerHost(trx);
          const id = await insertRouter(trx, project, b, host);
          await checkQuota(trx, project, ['router']);
          if (b.external_gateway_info && 'network_id' in b.external_gateway_info) {
            await find(trx, ctx as Context, Networks, b.external_gateway_info.network_id);
            await setGateway(trx, { id, gateway_port_id: null, external_network_id: null, host }, b.external_gateway_info);
          }
          if (b.routes) await checkRoutes(trx, id, b.routes);
          await applyRouter(rt.tasks, trx, id, host);
          return shown(trx, ctx, id);
        });
      },
    }),
    operation({
      id: 'routers.update', summary: 'Update a router', method: 'PUT', path: '/routers/:id', policy: 'update_router', permit: 'object', body: UpdateRouter,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
        const b = ctx.body.router;
        permitAttributes(ctx as Context, 'update', 'router', b, guarded, Routers.target(row));
        return transaction(rt.db, async trx => {
          if (b.external_gateway_info !== undefined) {
            if (b.external_gateway_info && 'network_id' in b.external_gateway_info) await find(trx, ctx as Context, Networks, b.external_gateway_info.network_id);
            await setGateway(trx, row, b.external_gateway_info);
          }
          if (b.routes) await checkRoutes(trx, row.id, b.routes);
          const columns = { name: b.name, description: b.description, admin_state_up: b.admin_state_up, routes: b.routes === undefined ? undefined : JSON.stringify(b.routes ?? []) };
          await trx('routers').where({ id: row.id }).update({ ...Object.fromEntries(Object.entries(columns).filter(([, v]) => v !== undefined)), ...touched(trx) });
          await applyRouter(rt.tasks, trx, row.id, row.host);
          return shown(trx, ctx, row.id);
        });
      },
    }),
    operation({
      id: 'routers.delete', summary: 'Delete a router', method: 'DELETE', path: '/routers/:id', policy: 'delete_router', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
        ctx.permit(Routers.target(row));
        await transaction(rt.db, async trx => {
          const used = await trx('ports').where({ device_id: row.id, device_owner: 'network:router_interface' }).first('id');
          if (used) throw new Conflict(`Router ${row.id} still has ports`, { kind: 'RouterInUse' });
          await deleteRouter(rt.tasks, trx, row);
        });
        return new Reply(204);
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
