import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { FloatingIpFacts } from '@cumulet/network';
import { BadRequest, Conflict, Fault, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { path as actionPath } from '../actions/power.ts';
import type { Compute } from '../compute.ts';
import { refuseLocked, serverFor } from '../servers/act.ts';
import { portsOf } from '../servers/store.ts';

const until = '2.35';
const view = (f: FloatingIpFacts) => ({ id: f.id, ip: f.ip, fixed_ip: f.fixed_ip, instance_id: f.device_id || null, pool: f.pool });
const address = z.union([z.ipv4(), z.ipv6()]);
const Create = shape('FloatingIpCreate', z.looseObject({ pool: z.string().nullable().optional() }).nullable());
const Add = shape('AddFloatingIp', z.strictObject({ addFloatingIp: z.strictObject({ address, fixed_address: address.optional() }) }));
const Remove = shape('RemoveFloatingIp', z.strictObject({ removeFloatingIp: z.strictObject({ address }) }));

/** Floating IPs as nova-network named them: the network service's own rows. */
export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const { groups } = c.n;
  const all = (trx: Trx, project: string): Promise<FloatingIpFacts[]> => groups.floatingIps(trx, project);
  const find = async (trx: Trx, ctx: Context): Promise<FloatingIpFacts> => {
    const id = ctx.params['id'] ?? '';
    const f = (await all(trx, ctx.caller.projectId ?? '')).find(x => x.id === id);
    if (!f) throw new NotFound(`Floating IP not found for ID ${id}`);
    return f;
  };
  const byAddress = async (trx: Trx, ctx: Context, ip: string): Promise<FloatingIpFacts> => {
    const f = (await all(trx, ctx.caller.projectId ?? '')).find(x => x.ip === ip);
    if (!f) throw new NotFound('floating IP not found');
    return f;
  };
  return [
    operation({ id: 'floating_ip_pools.list', summary: 'External networks (older name)', method: 'GET', path: '/os-floating-ip-pools', until, policy: 'os_compute_api:os-floating-ip-pools', handler: async () => ({ floating_ip_pools: (await groups.pools(db)).map(name => ({ name })) }) }),
    operation({ id: 'floating_ips.list', summary: 'Floating IPs (older name)', method: 'GET', path: '/os-floating-ips', until, policy: 'os_compute_api:os-floating-ips:list', handler: async ctx => ({ floating_ips: (await all(db, ctx.caller.projectId ?? '')).map(view) }) }),
    operation({ id: 'floating_ips.show', summary: 'A floating IP (older name)', method: 'GET', path: '/os-floating-ips/:id', until, policy: 'os_compute_api:os-floating-ips:show', handler: async ctx => ({ floating_ip: view(await find(db, ctx as never)) }) }),
    operation({
      id: 'floating_ips.create', summary: 'A new floating IP (older name)', method: 'POST', path: '/os-floating-ips', until, policy: 'os_compute_api:os-floating-ips:create', body: Create,
      handler: async ctx => {
        const project = ctx.caller.projectId ?? '';
        const id = await transaction(db, trx => groups.allocate(trx, project, ctx.body?.pool ?? undefined));
        return { floating_ip: view((await all(db, project)).find(f => f.id === id) as FloatingIpFacts) };
      },
    }),
    operation({ id: 'floating_ips.delete', summary: 'Give a floating IP up (older name)', method: 'DELETE', path: '/os-floating-ips/:id', until, policy: 'os_compute_api:os-floating-ips:delete', handler: async ctx => { await transaction(db, async trx => groups.free(trx, (await find(trx, ctx as never)).id)); return new Reply(202); } }),
    operation({
      id: 'servers.addFloatingIp', summary: 'Point a floating IP at a server (older name)', method: 'POST', path: actionPath, action: 'addFloatingIp', until: '2.43', policy: 'os_compute_api:os-floating-ips:add', permit: 'object', status: 202, body: Add,
      handler: ctx => transaction(db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseLocked(ctx, row);
        const b = ctx.body.addFloatingIp;
        const ports = [...(await c.n.networks.ports(trx, (await portsOf(trx, row.id)).map(p => p.port_id))).values()];
        const port = ports.find(p => (b.fixed_address === undefined ? p.fixed_ips.length > 0 : p.fixed_ips.some(f => f.ip_address === b.fixed_address)));
        if (!port) throw new BadRequest(b.fixed_address === undefined ? 'No fixed IPs associated to instance' : 'Specified fixed address not assigned to instance');
        await groups.point(trx, (await byAddress(trx, ctx as never, b.address)).id, { portId: port.id, fixedIp: b.fixed_address }).catch((error: unknown) => { throw error instanceof Fault && error.status === 409 ? new BadRequest(error.message) : error; });
      }),
    }),
    operation({
      id: 'servers.removeFloatingIp', summary: 'Take a floating IP from a server (older name)', method: 'POST', path: actionPath, action: 'removeFloatingIp', until: '2.43', policy: 'os_compute_api:os-floating-ips:remove', permit: 'object', status: 202, body: Remove,
      handler: ctx => transaction(db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseLocked(ctx, row);
        const { address: ip } = ctx.body.removeFloatingIp;
        const f = await byAddress(trx, ctx as never, ip);
        if (f.device_id !== row.id) throw new Conflict(`Floating IP ${ip} is not associated with instance ${row.id}.`);
        await groups.point(trx, f.id, null);
      }),
    }),
  ];
};
