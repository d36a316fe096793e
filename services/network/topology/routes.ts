import { brokenReference, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict } from '@cumulet/wire';
import { autoTopology, removeTopology } from './topology.ts';

export function topologyRoutes(rt: Runtime): Operation[] {
  const project = (ctx: Context): string => {
    const named = ctx.params['project_id'] ?? '';
    // Clients that name no project send their language's word for that.
    const wanted = ['null', 'None'].includes(named) ? ctx.caller.projectId ?? '' : named;
    ctx.permit({ project_id: wanted, tenant_id: wanted });
    if (wanted !== ctx.caller.projectId && !ctx.allows('context_is_admin')) throw new BadRequest('Requesting auto allocated topology for another project is not allowed.', { kind: 'AutoAllocationFailure' });
    return wanted;
  };
  return [
    operation({
      id: 'topology.get', summary: 'The project\'s own network, made if need be', method: 'GET', path: '/auto-allocated-topology/:project_id', policy: 'get_auto_allocated_topology', permit: 'object',
      handler: async ctx => {
        const id = project(ctx as Context);
        if (ctx.search.includes('fields=dry-run')) {
          if (!await rt.db('networks').where({ external: true }).first('id')) throw new Conflict('Deployment error: No default router:external network.', { kind: 'AutoAllocationFailure' });
          return { auto_allocated_topology: { id: 'dry-run=pass', tenant_id: id, project_id: id } };
        }
        const { networkId } = await transaction(rt.db, trx => autoTopology(rt.tasks, trx, id));
        return { auto_allocated_topology: { id: networkId, tenant_id: id, project_id: id } };
      },
    }),
    operation({
      id: 'topology.delete', summary: 'Remove the project\'s own network', method: 'DELETE', path: '/auto-allocated-topology/:project_id', policy: 'delete_auto_allocated_topology', permit: 'object', status: 204,
      handler: async ctx => {
        const id = project(ctx as Context);
        await transaction(rt.db, trx => removeTopology(rt.tasks, trx, id)).catch((error: unknown) => {
          throw brokenReference(error) === undefined ? error : new Conflict('Unable to deprovision: something still uses the network.', { kind: 'AutoAllocationFailure' });
        });
        return new Reply(204);
      },
    }),
    operation({
      id: 'availability_zones.list', summary: 'Availability zones of networks and routers', method: 'GET', path: '/availability_zones', policy: { anyone: 'the same for everybody' },
      handler: () => ({ availability_zones: ['network', 'router'].map(resource => ({ name: 'nova', resource, state: 'available' })) }),
    }),
    operation({ id: 'service_providers.list', summary: 'Service providers', method: 'GET', path: '/service-providers', policy: { anyone: 'the same for everybody' }, handler: () => ({ service_providers: [{ service_type: 'L3_ROUTER_NAT', name: 'single_node', default: true }] }) }),
    ...['trunks', 'segments', 'network_segment_ranges', 'log/logs', 'ndp_proxies', 'local_ips'].map(plural => operation({
      id: `none.${plural.replaceAll('/', '_')}`, summary: 'Not available here: none', method: 'GET', path: `/${plural}`, policy: { anyone: 'the same for everybody' }, handler: () => ({ [plural.split('/').at(-1)?.replaceAll('-', '_') as string]: [] }),
    })),
    ...['trunks'].map(plural => operation({
      id: `none.create_${plural.replaceAll('/', '_')}`, summary: 'Not available here: refused in words', method: 'POST', path: `/${plural}`, policy: { anyone: 'refused to everybody' },
      handler: () => { throw new BadRequest(`Invalid input for operation: ${plural} are not available in this cloud.`, { kind: 'InvalidInput' }); },
    })),
    operation({ id: 'default_security_group_rules.list', summary: 'Rules of new groups', method: 'GET', path: '/default-security-group-rules', policy: { anyone: 'the same for everybody' }, handler: () => new Reply(200, { default_security_group_rules: [] }) }),
  ];
}
