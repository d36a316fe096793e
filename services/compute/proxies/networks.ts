import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { path as actionPath } from '../actions/power.ts';
import type { Compute } from '../compute.ts';
import type { NetworkFacts } from '../neighbours.ts';
import { refuseLocked, serverFor } from '../servers/act.ts';
import { portsOf } from '../servers/store.ts';
import { whoOf } from '../who.ts';

const until = '2.35';
/** Names of nova-network that have nothing here. */
const absent = Object.fromEntries(['cidr', 'netmask', 'gateway', 'broadcast', 'dns1', 'dns2', 'cidr_v6', 'gateway_v6', 'netmask_v6', 'created_at', 'updated_at', 'deleted_at', 'deleted', 'injected', 'bridge', 'vlan', 'vpn_public_address', 'vpn_public_port', 'vpn_private_address', 'dhcp_start', 'project_id', 'host', 'bridge_interface', 'multi_host', 'priority', 'rxtx_base', 'mtu', 'dhcp_server', 'enable_dhcp', 'share_address'].map(k => [k, null]));

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const all = (ctx: Context): Promise<NetworkFacts[]> => c.n.networks.visible(db, whoOf(ctx));
  const one = async (ctx: Context) => {
    const id = ctx.params['id'] ?? '';
    const found = (await all(ctx)).find(n => n.id === id);
    if (!found) throw new NotFound('Network not found');
    return found;
  };
  const groupAction = (action: 'addSecurityGroup' | 'removeSecurityGroup') => operation({
    id: `servers.${action}`, summary: action === 'addSecurityGroup' ? 'Put a server into a group' : 'Take a server out of a group', method: 'POST', path: actionPath, action, policy: `os_compute_api:os-security-groups:${action === 'addSecurityGroup' ? 'add' : 'remove'}`, permit: 'object', status: 202,
    body: shape(`Action ${action}`, z.strictObject({ [action]: z.strictObject({ name: z.string().min(1).max(255) }) })),
    handler: ctx => transaction(db, async trx => {
      const row = await serverFor(ctx as never, trx, { lock: true });
      refuseLocked(ctx, row);
      const { name } = (ctx.body as Record<string, { name: string }>)[action] as { name: string };
      const who = { ...whoOf(ctx), projectId: row.project_id };
      const [id] = await c.n.networks.groups(trx, who, [name]).catch((error: unknown) => { throw error instanceof BadRequest ? new NotFound(error.message) : error; });
      const ports = await c.n.networks.ports(trx, (await portsOf(trx, row.id)).map(p => p.port_id));
      if (ports.size === 0) throw new BadRequest(`Security group ${name} cannot be added to instance ${row.id}: it has no ports.`);
      let touched = 0;
      for (const port of ports.values()) {
        const has = port.security_groups.map(g => g.id);
        if (action === 'addSecurityGroup' ? has.includes(id as string) : !has.includes(id as string)) continue;
        touched += 1;
        await c.n.networks.setGroups(trx, port.id, action === 'addSecurityGroup' ? [...has, id as string] : has.filter(h => h !== id));
      }
      if (action === 'removeSecurityGroup' && touched === 0) throw new NotFound(`Security group ${id} not associated with the instance ${row.id}`);
    }),
  });
  return [
    operation({ id: 'networks.list', summary: 'Networks (older name)', method: 'GET', path: '/os-networks', until, policy: 'os_compute_api:os-networks:list', handler: async ctx => ({ networks: (await all(ctx as never)).map(n => ({ id: n.id, ...absent, label: n.name })) }) }),
    operation({ id: 'networks.show', summary: 'A network (older name)', method: 'GET', path: '/os-networks/:id', until, policy: 'os_compute_api:os-networks:show', handler: async ctx => { const n = await one(ctx as never); return { network: { id: n.id, ...absent, label: n.name } }; } }),
    operation({ id: 'tenant_networks.list', summary: 'Networks of the project (older name)', method: 'GET', path: '/os-tenant-networks', until, policy: 'os_compute_api:os-tenant-networks:list', handler: async ctx => ({ networks: (await all(ctx as never)).map(n => ({ id: n.id, cidr: 'None', label: n.name })) }) }),
    operation({ id: 'tenant_networks.show', summary: 'A network of the project (older name)', method: 'GET', path: '/os-tenant-networks/:id', until, policy: 'os_compute_api:os-tenant-networks:show', handler: async ctx => { const n = await one(ctx as never); return { network: { id: n.id, cidr: 'None', label: n.name } }; } }),
    groupAction('addSecurityGroup'), groupAction('removeSecurityGroup'),
  ];
};
