import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Fault, NotFound, shape, without, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import type { PortFacts } from '../neighbours.ts';
import { attachPortPlan, detachPortPlan } from '../plans/plug.ts';
import { record, refuseLocked, refuseState, serverFor } from '../servers/act.ts';
import { deviceTag, uuid } from '../servers/fields.ts';
import { AmbiguousNetworks, nicsOf } from '../servers/nics.ts';
import { hostQueue, laneOf, type ServerRow } from '../servers/row.ts';
import { portsOf } from '../servers/store.ts';
import { addressesOf } from '../servers/view.ts';
import { byOf, whoOf } from '../who.ts';
import { bare, path as actionPath } from '../actions/power.ts';

const ips = z.array(z.strictObject({ ip_address: z.union([z.ipv4(), z.ipv6()]) })).length(1);
const Attach = shape('InterfaceAttach', z.strictObject({ interfaceAttachment: z.strictObject({ net_id: uuid.optional(), port_id: uuid.optional(), fixed_ips: ips.optional(), tag: deviceTag.optional() }).optional() }));
const View = shape('InterfaceAttachment', z.any());
const Shown = shape('ShownInterface', z.any(), { interfaceAttachment: View });
const Listed = shape('InterfaceList', z.any(), { interfaceAttachments: View });
export const changes: Change[] = [
  { at: '2.44', trait: 'no multinic', why: 'addFixedIp and removeFixedIp are gone' },
  { at: '2.49', shape: 'InterfaceAttach', why: 'interfaces have tags', was: () => z.strictObject({ interfaceAttachment: z.strictObject({ net_id: uuid.optional(), port_id: uuid.optional(), fixed_ips: ips.optional() }).optional() }) },
  { at: '2.70', shape: 'InterfaceAttachment', why: 'the tag is shown', down: without('tag') },
];

const view = (p: PortFacts, tag: string | null) => ({ net_id: p.network_id, port_id: p.id, mac_addr: p.mac_address, port_state: p.status, fixed_ips: p.fixed_ips.map(f => ({ subnet_id: f.subnet_id, ip_address: f.ip_address })), tag });

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const path = '/servers/:server_id/os-interface';
  const all = async (row: ServerRow) => {
    const links = await portsOf(db, row.id);
    const facts = await c.n.networks.ports(db, links.map(l => l.port_id));
    return links.flatMap(l => { const p = facts.get(l.port_id); return p ? [{ p, tag: l.tag }] : []; });
  };
  return [
    operation({ id: 'interfaces.list', summary: 'Ports of a server', method: 'GET', path, policy: 'os_compute_api:os-attach-interfaces:list', permit: 'object', reply: Listed, handler: async ctx => ({ interfaceAttachments: (await all(await serverFor(ctx as never, db))).map(({ p, tag }) => view(p, tag)) }) }),
    operation({
      id: 'interfaces.show', summary: 'One port of a server', method: 'GET', path: `${path}/:port_id`, policy: 'os_compute_api:os-attach-interfaces:show', permit: 'object', reply: Shown,
      handler: async ctx => {
        const row = await serverFor(ctx as never, db);
        const found = (await all(row)).find(({ p }) => p.id === ctx.params['port_id']);
        if (!found) throw new NotFound(`Instance ${row.id} does not have a port with id ${ctx.params['port_id']}`);
        return { interfaceAttachment: view(found.p, found.tag) };
      },
    }),
    operation({
      id: 'interfaces.create', summary: 'Attach a port', method: 'POST', path, policy: 'os_compute_api:os-attach-interfaces:create', permit: 'object', body: Attach, reply: Shown,
      handler: ctx => transaction(db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseLocked(ctx, row);
        return { interfaceAttachment: await attach(c, ctx as never, trx, row, ctx.body.interfaceAttachment ?? {}) };
      }),
    }),
    operation({
      id: 'interfaces.delete', summary: 'Detach a port', method: 'DELETE', path: `${path}/:port_id`, policy: 'os_compute_api:os-attach-interfaces:delete', permit: 'object',
      handler: async ctx => {
        await transaction(db, async trx => {
          const row = await serverFor(ctx as never, trx, { lock: true });
          refuseLocked(ctx, row);
          refuseState(row, 'detach_interface');
          const portId = ctx.params['port_id'] ?? '';
          if (!(await portsOf(trx, row.id)).some(p => p.port_id === portId)) throw new NotFound(`Port ${portId} could not be found.`);
          const task = await c.rt.tasks.enqueue(trx, detachPortPlan, { serverId: row.id, portId }, { queue: row.host === null ? 'any' : hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx), dedupe: `detach-port/${portId}` });
          await record(trx, ctx, row.id, 'detach_interface', task);
        });
        return new Reply(202);
      },
    }),
    operation({
      id: 'ips.list', summary: 'Addresses of a server', method: 'GET', path: '/servers/:server_id/ips', policy: 'os_compute_api:ips:index', permit: 'object',
      handler: async ctx => ({ addresses: Object.fromEntries(Object.entries(addressesOf((await all(await serverFor(ctx as never, db))).map(x => x.p))).map(([label, list]) => [label, list.map(({ version, addr }) => ({ version, addr }))])) }),
    }),
    operation({
      id: 'ips.show', summary: 'Addresses on one network', method: 'GET', path: '/servers/:server_id/ips/:label', policy: 'os_compute_api:ips:show', permit: 'object',
      handler: async ctx => {
        const label = ctx.params['label'] ?? '';
        const list = addressesOf((await all(await serverFor(ctx as never, db))).map(x => x.p))[label];
        if (!list) throw new NotFound('Instance is not a member of specified network');
        return { [label]: list.map(({ version, addr }) => ({ version, addr })) };
      },
    }),
    operation({
      id: 'servers.add_fixed_ip', summary: 'One more address on a network', method: 'POST', path: actionPath, action: 'addFixedIp', until: '2.43', policy: 'os_compute_api:os-multinic:add', permit: 'object', status: 202, body: bare('addFixedIp'),
      handler: async ctx => {
        const asked = z.strictObject({ networkId: z.union([z.string(), z.int()]) }).safeParse((ctx.body as Record<string, unknown>)['addFixedIp']);
        if (!asked.success) throw new BadRequest("Invalid input for field/attribute addFixedIp. 'networkId' is a required property");
        await transaction(db, async trx => { const row = await serverFor(ctx as never, trx, { lock: true }); refuseLocked(ctx, row); await attach(c, ctx as never, trx, row, { net_id: String(asked.data.networkId) }); });
      },
    }),
    operation({
      id: 'servers.remove_fixed_ip', summary: 'Give up an address', method: 'POST', path: actionPath, action: 'removeFixedIp', until: '2.43', policy: 'os_compute_api:os-multinic:remove', permit: 'object', status: 202, body: bare('removeFixedIp'),
      handler: async ctx => {
        const asked = z.strictObject({ address: z.ipv4() }).safeParse((ctx.body as Record<string, unknown>)['removeFixedIp']);
        if (!asked.success) throw new BadRequest("Invalid input for field/attribute removeFixedIp. 'address' is a required property");
        const row = await serverFor(ctx as never, db);
        refuseLocked(ctx, row);
        const port = (await all(row)).find(({ p }) => p.fixed_ips.some(f => f.ip_address === asked.data.address));
        if (!port) throw new BadRequest(`Fixed IP address (${asked.data.address}) does not exist on server ${row.id}.`);
        await transaction(db, async trx => { await c.rt.tasks.enqueue(trx, detachPortPlan, { serverId: row.id, portId: port.p.id }, { queue: row.host === null ? 'any' : hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) }); });
      },
    }),
  ];
};

async function attach(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, b: { net_id?: string | undefined; port_id?: string | undefined; fixed_ips?: { ip_address: string }[] | undefined; tag?: string | undefined }): Promise<unknown> {
  if (b.net_id !== undefined && b.port_id !== undefined) throw new BadRequest('Must not input both network_id and port_id');
  if (b.fixed_ips !== undefined && b.net_id === undefined) throw new BadRequest('Must input network_id when request IP address');
  refuseState(row, 'attach_interface');
  const who = whoOf(ctx);
  const [nic] = await nicsOf(c, ctx, trx, who, b.port_id === undefined && b.net_id === undefined ? 'default' : [{ ...(b.port_id === undefined ? { uuid: b.net_id } : { port: b.port_id }), ...(b.fixed_ips === undefined ? {} : { fixed_ip: b.fixed_ips[0]?.ip_address }) }] as never, 1)
    .catch((error: unknown) => {
      // Nova's codes are others here than at a boot.
      if (error instanceof AmbiguousNetworks) throw new BadRequest(error.message);
      throw error instanceof Fault && error.status === 400 && /could not be found/.test(error.message) ? new NotFound(error.message) : error;
    });
  if (!nic) throw new BadRequest('No networks found to attach to.');
  const links = await portsOf(trx, row.id);
  const zone = row.availability_zone ?? 'nova';
  let portId = nic.port;
  if (portId !== undefined) await c.n.networks.take(trx, portId, row.id, { zone, hostname: row.hostname });
  else portId = (await c.n.networks.createPort(trx, { who: { ...who, projectId: row.project_id }, serverId: row.id, networkId: nic.network as string, zone, hostname: row.hostname, ...(nic.fixedIp === undefined ? {} : { fixedIp: nic.fixedIp }) })).id;
  const facts = (await c.n.networks.ports(trx, [portId])).get(portId) as PortFacts;
  await trx('server_ports').insert({ server_id: row.id, port_id: portId, network_id: facts.network_id, position: Math.max(-1, ...links.map(l => l.position)) + 1, created_by_us: nic.port === undefined, tag: b.tag ?? null });
  if (row.host !== null) {
    await c.n.networks.bind(trx, portId, row.host);
    const task = await c.rt.tasks.enqueue(trx, attachPortPlan, { serverId: row.id, portId }, { queue: hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) });
    await record(trx, ctx, row.id, 'attach_interface', task);
  }
  return view(facts, b.tag ?? null);
}
