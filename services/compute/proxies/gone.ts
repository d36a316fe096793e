import { operation, type Method, type Operation } from '@cumulet/http';
import { BadRequest, Gone, NotFound, NotImplemented, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';

const words = (of: [string, ...string[]]) => z.string().transform(t => t.toLowerCase()).pipe(z.enum(of)).optional();
const Update = shape('HostUpdate', z.strictObject({ status: words(['enable', 'disable']), maintenance_mode: words(['enable', 'disable']) }).refine(b => Object.keys(b).length > 0, { message: '{} does not have enough properties' }));
const anyone = { anyone: 'upstream answers everyone so' };
/** What upstream removed but still answers: 410, whatever the caller asks. */
const removed: readonly (readonly [string, readonly Method[]])[] = [
  ['/os-agents', ['GET', 'POST']], ['/os-agents/:id', ['PUT', 'DELETE']], ['/os-cells', ['GET', 'POST']], ['/os-cells/:id', ['GET', 'PUT', 'DELETE']], ['/os-cells/:id/capacities', ['GET']], ['/os-cells/sync_instances', ['POST']],
  ['/os-certificates', ['POST']], ['/os-certificates/:id', ['GET']], ['/os-cloudpipe', ['GET', 'POST']], ['/os-cloudpipe/:id', ['PUT']], ['/os-fixed-ips/:id', ['GET']], ['/os-fixed-ips/:id/action', ['POST']],
  ['/os-floating-ip-dns', ['GET']], ['/os-floating-ip-dns/:id', ['PUT', 'DELETE']], ['/os-floating-ip-dns/:domain/entries/:id', ['GET', 'PUT', 'DELETE']], ['/os-floating-ips-bulk', ['GET', 'POST']], ['/os-floating-ips-bulk/:id', ['GET', 'PUT']], ['/os-fping', ['GET']], ['/os-fping/:id', ['GET']],
  ['/os-networks', ['POST']], ['/os-networks/add', ['POST']], ['/os-networks/:id', ['DELETE']], ['/os-networks/:id/action', ['POST']], ['/os-security-group-default-rules', ['GET', 'POST']], ['/os-security-group-default-rules/:id', ['GET', 'DELETE']],
  ['/os-tenant-networks', ['POST']], ['/os-tenant-networks/:id', ['DELETE']], ['/os-virtual-interfaces', ['GET']], ['/servers/:server_id/consoles', ['GET', 'POST']], ['/servers/:server_id/consoles/:id', ['GET', 'DELETE']], ['/servers/:server_id/os-virtual-interfaces', ['GET']],
];

export const routes = (c: Compute): Operation[] => [
  ...removed.flatMap(([path, methods]) => methods.map(method => operation({
    id: `gone.${method.toLowerCase()}.${path.slice(1).replaceAll(/[/:]+/g, '.')}`, summary: 'Removed upstream', method, path, policy: anyone, handler: () => { throw new Gone('This resource is no longer available. No forwarding address is given.'); },
  }))),
  operation({ id: 'baremetal.list', summary: 'Bare metal nodes', method: 'GET', path: '/os-baremetal-nodes', until: '2.35', policy: 'os_compute_api:os-baremetal-nodes:list', handler: () => { throw new NotImplemented('The requested functionality is not supported.'); } }),
  operation({ id: 'baremetal.show', summary: 'A bare metal node', method: 'GET', path: '/os-baremetal-nodes/:id', until: '2.35', policy: 'os_compute_api:os-baremetal-nodes:show', handler: () => { throw new NotImplemented('The requested functionality is not supported.'); } }),
  ...([['POST', '/os-baremetal-nodes', undefined, 'node-create'], ['DELETE', '/os-baremetal-nodes/:id', undefined, 'node-delete'], ['POST', '/os-baremetal-nodes/:id/action', 'add_interface', 'port-create'], ['POST', '/os-baremetal-nodes/:id/action', 'remove_interface', 'port-delete']] as const).map(([method, path, action, command]) => operation({
    id: `baremetal.${action ?? method.toLowerCase()}`, summary: 'Bare metal is changed elsewhere', method, path, until: '2.35', policy: anyone, ...(action === undefined ? {} : { action }),
    handler: () => { throw new BadRequest(`Command Not supported. Please use Ironic command ${command} to perform this action.`); },
  })),
  operation({ id: 'servers.reset_network', summary: 'Removed upstream', method: 'POST', path: '/servers/:server_id/action', action: 'resetNetwork', policy: anyone, handler: () => { throw new Gone('This resource is no longer available. No forwarding address is given.'); } }),
  operation({
    id: 'hosts.list', summary: 'Hosts', method: 'GET', path: '/os-hosts', until: '2.42', policy: 'os_compute_api:os-hosts:list',
    handler: async ctx => {
      const zone = new URLSearchParams(ctx.search).get('zone');
      const rows = await c.rt.db('compute_hosts').where({ deleted: false }).orderBy('num').select('host') as { host: string }[];
      const all = [...rows.map(r => ({ host_name: r.host, service: 'compute', zone: 'nova' })), ...['conductor', 'scheduler'].map(service => ({ host_name: c.rt.settings.host, service, zone: 'internal' }))];
      return { hosts: all.filter(h => !zone || h.zone === zone) };
    },
  }),
  operation({
    id: 'hosts.show', summary: 'What a host has and promised', method: 'GET', path: '/os-hosts/:host_name', until: '2.42', policy: 'os_compute_api:os-hosts:show',
    handler: async ctx => {
      const host = ctx.params['host_name'] ?? '';
      const row = await c.rt.db('compute_hosts').where({ host, deleted: false }).first('vcpus', 'memory_mb', 'disk_gb') as { vcpus: number; memory_mb: number; disk_gb: number } | undefined;
      if (!row) throw new NotFound(`Compute host ${host} could not be found.`);
      const used = await c.rt.db('allocations').where({ host }).sum({ cpu: 'vcpus', memory_mb: 'memory_mb', disk_gb: 'disk_gb' }).first() as unknown as Record<string, number | null>;
      const projects = await c.rt.db('allocations as a').join('servers as s', 's.id', 'a.server_id').where('a.host', host).groupBy('s.project_id').select('s.project_id').sum({ cpu: 'a.vcpus', memory_mb: 'a.memory_mb', disk_gb: 'a.disk_gb' }) as unknown as { project_id: string; cpu: number; memory_mb: number; disk_gb: number }[];
      const line = (project: string, of: Record<string, number | null>) => ({ resource: { host, project, cpu: of['cpu'] ?? 0, memory_mb: of['memory_mb'] ?? 0, disk_gb: of['disk_gb'] ?? 0 } });
      return { host: [line('(total)', { cpu: row.vcpus, memory_mb: row.memory_mb, disk_gb: row.disk_gb }), line('(used_now)', used), line('(used_max)', used), ...projects.map(p => line(p.project_id, p as never))] };
    },
  }),
  operation({
    id: 'hosts.update', summary: 'Maintenance of a host', method: 'PUT', path: '/os-hosts/:host_name', until: '2.42', policy: 'os_compute_api:os-hosts:update', body: Update,
    handler: async ctx => { await known(c, ctx.params['host_name'] ?? ''); throw new NotImplemented('Virt driver does not implement host disabled status.'); },
  }),
  ...(['reboot', 'shutdown', 'startup'] as const).map(verb => operation({
    id: `hosts.${verb}`, summary: `${verb} a host`, method: 'GET', path: `/os-hosts/:host_name/${verb}`, until: '2.42', policy: `os_compute_api:os-hosts:${verb === 'startup' ? 'start' : verb}`,
    handler: async ctx => { await known(c, ctx.params['host_name'] ?? ''); throw new NotImplemented(`Virt driver does not implement host ${verb}.`); },
  })),
];
async function known(c: Compute, host: string): Promise<void> {
  if (!await c.rt.db('compute_hosts').where({ host, deleted: false }).first('host')) throw new NotFound(`Compute host ${host} could not be found.`);
}
