import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { bare, path as actionPath } from '../actions/power.ts';
import type { Compute } from '../compute.ts';
import { ruleView, type Rule } from '../details/more.ts';
import type { NetworkFacts } from '../neighbours.ts';
import { refuseLocked, serverFor } from '../servers/act.ts';
import { portsOf } from '../servers/store.ts';
import { whoOf } from '../who.ts';

const until = '2.35';
/** Names of nova-network that have nothing here. */
const absent = Object.fromEntries(['cidr', 'netmask', 'gateway', 'broadcast', 'dns1', 'dns2', 'cidr_v6', 'gateway_v6', 'netmask_v6', 'created_at', 'updated_at', 'deleted_at', 'deleted', 'injected', 'bridge', 'vlan', 'vpn_public_address', 'vpn_public_port', 'vpn_private_address', 'dhcp_start', 'project_id', 'host', 'bridge_interface', 'multi_host', 'priority', 'rxtx_base', 'mtu', 'dhcp_server', 'enable_dhcp', 'share_address'].map(k => [k, null]));

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const all = async (ctx: Context): Promise<Pick<NetworkFacts, 'id' | 'name'>[]> => {
    const who = whoOf(ctx);
    const query = db('networks').orderBy('created_at').select('id', 'name');
    return who.admin ? query : query.where(q => q.where('project_id', who.projectId).orWhere('shared', true).orWhere('external', true)) as never;
  };
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
  const rules = async (groups: readonly string[]): Promise<Rule[]> => db('security_group_rules as r').leftJoin('security_groups as g', 'g.id', 'r.remote_group_id').whereIn('r.security_group_id', [...groups]).where('r.direction', 'ingress').orderBy('r.created_at').select('r.*', 'g.name as remote_name') as never;
  const groupsOf = async (ctx: Context) => {
    const everyone = new URLSearchParams(ctx.search).get('all_tenants');
    const query = db('security_groups').orderBy('name').select('id', 'name', 'description', 'project_id');
    if (!(everyone && everyone !== '0' && whoOf(ctx).admin)) query.where({ project_id: ctx.caller.projectId ?? '' });
    return query as unknown as Promise<{ id: string; name: string; description: string; project_id: string }[]>;
  };
  const groupView = (g: { id: string; name: string; description: string; project_id: string }, of: readonly Rule[]) => ({ id: g.id, description: g.description, name: g.name, tenant_id: g.project_id, rules: of.filter(r => r.security_group_id === g.id).map(ruleView) });
  const writesGoElsewhere = (): never => { throw new BadRequest('Security groups and floating IPs are changed through the network service.'); };
  return [
    operation({ id: 'networks.list', summary: 'Networks (older name)', method: 'GET', path: '/os-networks', until, policy: 'os_compute_api:os-networks:list', handler: async ctx => ({ networks: (await all(ctx as never)).map(n => ({ id: n.id, ...absent, label: n.name })) }) }),
    operation({ id: 'networks.show', summary: 'A network (older name)', method: 'GET', path: '/os-networks/:id', until, policy: 'os_compute_api:os-networks:show', handler: async ctx => { const n = await one(ctx as never); return { network: { id: n.id, ...absent, label: n.name } }; } }),
    operation({ id: 'tenant_networks.list', summary: 'Networks of the project (older name)', method: 'GET', path: '/os-tenant-networks', until, policy: 'os_compute_api:os-tenant-networks:list', handler: async ctx => ({ networks: (await all(ctx as never)).map(n => ({ id: n.id, cidr: 'None', label: n.name })) }) }),
    operation({ id: 'tenant_networks.show', summary: 'A network of the project (older name)', method: 'GET', path: '/os-tenant-networks/:id', until, policy: 'os_compute_api:os-tenant-networks:show', handler: async ctx => { const n = await one(ctx as never); return { network: { id: n.id, cidr: 'None', label: n.name } }; } }),
    operation({ id: 'floating_ip_pools.list', summary: 'External networks (older name)', method: 'GET', path: '/os-floating-ip-pools', until, policy: 'os_compute_api:os-floating-ip-pools', handler: async () => ({ floating_ip_pools: (await db('networks').where({ external: true }).orderBy('name').select('name') as { name: string }[]).map(n => ({ name: n.name })) }) }),
    operation({
      id: 'floating_ips.list', summary: 'Floating IPs (older name)', method: 'GET', path: '/os-floating-ips', until, policy: 'os_compute_api:os-floating-ips:list',
      handler: async ctx => ({ floating_ips: (await floating(c, ctx.caller.projectId ?? '')).map(floatingView) }),
    }),
    operation({
      id: 'floating_ips.show', summary: 'A floating IP (older name)', method: 'GET', path: '/os-floating-ips/:id', until, policy: 'os_compute_api:os-floating-ips:show',
      handler: async ctx => { const f = (await floating(c, ctx.caller.projectId ?? '')).find(x => x.id === ctx.params['id']); if (!f) throw new NotFound(`Floating IP not found for ID ${ctx.params['id']}`); return { floating_ip: floatingView(f) }; },
    }),
    operation({ id: 'floating_ips.create', summary: 'A new floating IP (older name)', method: 'POST', path: '/os-floating-ips', until, policy: 'os_compute_api:os-floating-ips:create', handler: writesGoElsewhere }),
    operation({ id: 'floating_ips.delete', summary: 'Give a floating IP up (older name)', method: 'DELETE', path: '/os-floating-ips/:id', until, policy: 'os_compute_api:os-floating-ips:delete', handler: writesGoElsewhere }),
    ...(['addFloatingIp', 'removeFloatingIp'] as const).map(action => operation({ id: `servers.${action}`, summary: `${action} (older name)`, method: 'POST', path: actionPath, action, until: '2.43', policy: `os_compute_api:os-floating-ips:${action === 'addFloatingIp' ? 'add' : 'remove'}`, permit: 'object', body: bare(action), handler: async ctx => { await serverFor(ctx as never, db); return writesGoElsewhere(); } })),
    operation({ id: 'security_groups.list', summary: 'Security groups (older name)', method: 'GET', path: '/os-security-groups', until, policy: 'os_compute_api:os-security-groups:get', handler: async ctx => { const groups = await groupsOf(ctx as never); const of = await rules(groups.map(g => g.id)); return { security_groups: groups.map(g => groupView(g, of)) }; } }),
    operation({
      id: 'security_groups.show', summary: 'A security group (older name)', method: 'GET', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:show',
      handler: async ctx => { const g = (await groupsOf(ctx as never)).find(x => x.id === ctx.params['id']); if (!g) throw new NotFound(`Security group ${ctx.params['id']} not found.`); return { security_group: groupView(g, await rules([g.id])) }; },
    }),
    operation({ id: 'security_groups.create', summary: 'A new security group (older name)', method: 'POST', path: '/os-security-groups', until, policy: 'os_compute_api:os-security-groups:create', handler: writesGoElsewhere }),
    operation({ id: 'security_groups.update', summary: 'Change a security group (older name)', method: 'PUT', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:update', handler: writesGoElsewhere }),
    operation({ id: 'security_groups.delete', summary: 'Delete a security group (older name)', method: 'DELETE', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:delete', handler: writesGoElsewhere }),
    operation({ id: 'security_group_rules.create', summary: 'A new rule (older name)', method: 'POST', path: '/os-security-group-rules', until, policy: 'os_compute_api:os-security-groups:rule:create', handler: writesGoElsewhere }),
    operation({ id: 'security_group_rules.delete', summary: 'Delete a rule (older name)', method: 'DELETE', path: '/os-security-group-rules/:id', until, policy: 'os_compute_api:os-security-groups:rule:delete', handler: writesGoElsewhere }),
    groupAction('addSecurityGroup'), groupAction('removeSecurityGroup'),
  ];
};
interface Floating { id: string; ip: string; fixed_ip: string | null; device_id: string | null; pool: string }
const floating = async (c: Compute, project: string): Promise<Floating[]> => c.rt.db('floating_ips as f').join('networks as n', 'n.id', 'f.floating_network_id').leftJoin('ports as p', 'p.id', 'f.port_id').where('f.project_id', project).orderBy('f.created_at').select('f.id', c.rt.db.raw('host(f.floating_ip) as ip'), c.rt.db.raw('host(f.fixed_ip) as fixed_ip'), 'p.device_id', 'n.name as pool') as never;
const floatingView = (f: Floating) => ({ id: f.id, ip: f.ip, fixed_ip: f.fixed_ip, instance_id: f.device_id || null, pool: f.pool });
