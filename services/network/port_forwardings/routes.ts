import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId } from '@cumulet/wire';
import { FloatingIps, type FloatingIpRow } from '../floating_ips/floating_ips.ts';
import { alreadyAssociated } from '../floating_ips/service.ts';
import { Ports as NeutronPorts } from '../ports/ports.ts';
import { AnyQuery, fieldsOf, find, list, pick, writtenView } from '../rest/collection.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import { CreatePortForwarding, forwardingsOf, UpdatePortForwarding, type PortForwardingGiven, type PortForwardingRow, type Protocol } from './port_forwardings.ts';
import { addressOf, checkCollisions, portsOf, routerFor } from './rules.ts';

const path = '/floatingips/:floatingip_id/port_forwardings';

/** Ports of a floating IP that nobody has as a whole, each leading to a port of some server behind one router. */
export function portForwardingRoutes(rt: Runtime): Operation[] {
  const parentOf = async (trx: Trx, ctx: Context) => {
    const fip = await find(trx, ctx, FloatingIps, ctx.params['floatingip_id'] ?? '');
    const of = forwardingsOf(fip);
    ctx.permit(of.target({} as PortForwardingRow));
    return { fip, of };
  };
  /** One at a time for a floating IP and for a port inside: their forwardings must not meet. */
  const locked = async (trx: Trx, fipId: string, portId: string): Promise<Pick<FloatingIpRow, 'port_id' | 'router_id'>> => {
    const fip = await trx('floating_ips').where({ id: fipId }).forUpdate().first('port_id', 'router_id');
    await trx('ports').where({ id: portId }).forUpdate().first('id');
    return fip;
  };
  const resolve = async (trx: Trx, ctx: Context, fip: FloatingIpRow, id: string, b: PortForwardingGiven, now?: PortForwardingRow) => {
    const port = await find(trx, ctx, NeutronPorts, b.internal_port_id ?? now?.internal_port_id ?? '');
    const { port_id, router_id } = await locked(trx, fip.id, port.id);
    const named = b.internal_ip_address ?? (port.id === now?.internal_port_id ? now.internal_ip_address : undefined);
    const address = addressOf({ id: port.id, ips: port.fixed_ips.map(f => ({ subnet_id: f.subnet_id, ip: f.ip_address })) }, named);
    const whole: { id: string; address: string } | undefined = await trx('floating_ips').where({ port_id: port.id }).first('id', trx.raw('host(floating_ip) as address'));
    if (whole) throw new Conflict(`Cannot create port forwarding to floating IP ${whole.address} (${whole.id}) with port ${port.id} using fixed IP ${address.ip}, as that port already has a binding floating IP.`, { kind: 'PortHasBindingFloatingIP' });
    if (port_id !== null) throw alreadyAssociated(fip, port.id, address.ip);
    const forwarding = { id, floatingip_id: fip.id, internal_port_id: port.id, internal_ip_address: address.ip, protocol: b.protocol ?? now?.protocol as Protocol, ...portsOf(b, now) };
    // A port may move to another router while nothing else of the floating IP holds it to this one.
    const others = await trx('port_forwardings').where({ floatingip_id: fip.id }).whereNot({ id }).first('id');
    const router = await routerFor(trx, { ...fip, router_id: others ? router_id : null }, port.id, address.subnet_id);
    await checkCollisions(trx, forwarding);
    await trx('floating_ips').where({ id: fip.id }).update({ router_id: router.id });
    if (router_id !== null && router_id !== router.id) await applyRouter(rt.tasks, trx, router_id, await hostOf(trx, router_id));
    await applyRouter(rt.tasks, trx, router.id, router.host);
    const { internal_ip_address: internal_ip, ...columns } = forwarding;
    return { ...columns, internal_ip, ...(b.description === undefined ? {} : { description: b.description }) };
  };
  return [
    operation({
      id: 'port_forwardings.list', summary: 'What a floating IP forwards', method: 'GET', path, policy: 'get_floatingip_port_forwarding', permit: 'object', query: AnyQuery,
      handler: async ctx => list(rt.db, ctx, (await parentOf(rt.db, ctx as Context)).of, rt.settings.http.maxLimit),
    }),
    operation({
      id: 'port_forwardings.show', summary: 'Show a port forwarding', method: 'GET', path: `${path}/:id`, policy: 'get_floatingip_port_forwarding', permit: 'object', query: AnyQuery,
      handler: async ctx => {
        const { of } = await parentOf(rt.db, ctx as Context);
        return { port_forwarding: pick(of.view(await find(rt.db, ctx as Context, of, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) };
      },
    }),
    operation({
      id: 'port_forwardings.create', summary: 'Forward ports of a floating IP', method: 'POST', path, policy: 'create_floatingip_port_forwarding', permit: 'object', body: CreatePortForwarding, status: 201,
      handler: ctx => transaction(rt.db, async trx => {
        const { fip, of } = await parentOf(trx, ctx as Context);
        const id = newId();
        await trx('port_forwardings').insert(await resolve(trx, ctx as Context, fip, id, ctx.body.port_forwarding));
        return { port_forwarding: await writtenView(trx, ctx, of, id) };
      }),
    }),
    operation({
      id: 'port_forwardings.update', summary: 'Change a port forwarding', method: 'PUT', path: `${path}/:id`, policy: 'update_floatingip_port_forwarding', permit: 'object', body: UpdatePortForwarding,
      handler: ctx => transaction(rt.db, async trx => {
        const { fip, of } = await parentOf(trx, ctx as Context);
        const now = await find(trx, ctx as Context, of, ctx.params['id'] ?? '');
        await trx('port_forwardings').where({ id: now.id }).update(await resolve(trx, ctx as Context, fip, now.id, ctx.body.port_forwarding, now));
        return { port_forwarding: await writtenView(trx, ctx, of, now.id) };
      }),
    }),
    operation({
      id: 'port_forwardings.delete', summary: 'Forward these ports no more', method: 'DELETE', path: `${path}/:id`, policy: 'delete_floatingip_port_forwarding', permit: 'object', status: 204,
      handler: async ctx => {
        await transaction(rt.db, async trx => {
          const { fip, of } = await parentOf(trx, ctx as Context);
          const row = await find(trx, ctx as Context, of, ctx.params['id'] ?? '');
          if (fip.router_id !== null) await applyRouter(rt.tasks, trx, fip.router_id, await hostOf(trx, fip.router_id));
          await trx('port_forwardings').where({ id: row.id }).delete();
        });
        return new Reply(204);
      },
    }),
  ];
}

const hostOf = async (trx: Trx, routerId: string): Promise<string> => (await trx('routers').where({ id: routerId }).first('host') as { host: string } | undefined)?.host ?? '';
