import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery } from '../listing.ts';

const AnyQuery = shape('ClusterQuery', anyQuery);
const AnyBody = shape('ClusterBody', z.looseObject({}));
const Cluster = shape('Cluster', z.unknown());
const List = shape('ClusterList', z.unknown(), { clusters: Cluster });
const absent = (name: string) => new NotFound(`Cluster ${name} could not be found.`);

/**
 * Clusters are upstream's way to let several services share a backend. Here every worker that serves a backend takes its tasks from one queue under a lease,
 * so there are no clusters to list, and nothing that a clean-up of a dead service's work would have to do: another worker goes on by itself.
 */
export const routes = (rt: Runtime): Operation[] => [
  operation({ id: 'clusters.list', summary: 'List clusters', method: 'GET', path: '/clusters', since: '3.7', policy: 'clusters:get_all', query: AnyQuery, reply: List, handler: () => ({ clusters: [] }) }),
  operation({ id: 'clusters.detail', summary: 'List clusters with details', method: 'GET', path: '/clusters/detail', since: '3.7', policy: 'clusters:get_all', query: AnyQuery, reply: List, handler: () => ({ clusters: [] }) }),
  operation({ id: 'clusters.show', summary: 'Show a cluster', method: 'GET', path: '/clusters/:name', since: '3.7', policy: 'clusters:get', query: AnyQuery, handler: ctx => { throw absent(ctx.params['name'] ?? ''); } }),
  operation({
    id: 'clusters.update', summary: 'Enable or disable a cluster', method: 'PUT', path: '/clusters/:name', since: '3.7', policy: 'clusters:update', body: AnyBody,
    handler: ctx => { if (!['enable', 'disable'].includes(ctx.params['name'] ?? '')) throw new NotFound('Unknown action'); const name = ctx.body['name']; if (typeof name !== 'string' || name === '') throw new BadRequest("Missing required element 'name' in request body."); throw absent(name); },
  }),
  operation({ id: 'workers.cleanup', summary: 'Clean up after dead services', method: 'POST', path: '/workers/cleanup', since: '3.24', policy: 'workers:cleanup', body: AnyBody, handler: () => new Reply(202, { cleaning: [], unavailable: [] }) }),
  operation({
    id: 'resource_filters.list', summary: 'List the filters of each resource', method: 'GET', path: '/resource_filters', since: '3.33', policy: { anyone: 'upstream asks no rule' }, query: AnyQuery,
    handler: ctx => { const only = ctx.query['resource']; return { resource_filters: Object.entries(filtersOf).filter(([name]) => only === undefined || name === String(only)).map(([resource, filters]) => ({ resource, filters })) }; },
  }),
  operation({
    id: 'volumes.encryption', summary: 'Show encryption of a volume', method: 'GET', path: '/volumes/:volume_id/encryption', policy: 'volume_extension:volume_encryption_metadata',
    handler: async ctx => encryptionOf(rt, ctx.params['volume_id'] ?? '', ctx.allows('context_is_admin') ? undefined : ctx.caller.projectId ?? ''),
  }),
  operation({
    id: 'volumes.encryption.get', summary: 'Show one member of the encryption of a volume', method: 'GET', path: '/volumes/:volume_id/encryption/:key', policy: 'volume_extension:volume_encryption_metadata',
    handler: async ctx => { const all = await encryptionOf(rt, ctx.params['volume_id'] ?? '', ctx.allows('context_is_admin') ? undefined : ctx.caller.projectId ?? ''); const value = all[ctx.params['key'] ?? '']; if (value === undefined || value === null) throw new NotFound(`Volume encryption has no ${ctx.params['key']}.`); return new Reply(200, String(value), { 'content-type': 'text/plain; charset=utf-8' }); },
  }),
];
async function encryptionOf(rt: Runtime, id: string, project: string | undefined): Promise<Record<string, unknown>> {
  const row: { project_id: string; encryption_key_id: string | null; encryption: Record<string, unknown> | null } | undefined = await rt.db('volumes').join('volume_types as t', 't.id', 'volumes.type_id').whereRaw('volumes.id::text = ?', [id]).select('volumes.project_id', 'volumes.encryption_key_id', 't.encryption').first();
  if (!row || (project !== undefined && row.project_id !== project)) throw new NotFound(`Volume ${id} could not be found.`);
  return row.encryption ? { ...row.encryption, encryption_key_id: row.encryption_key_id } : { encryption_key_id: null };
}
/** What users may filter by, as `/resource_filters` publishes it. */
const filtersOf: Readonly<Record<string, readonly string[]>> = {
  volume: ['name', 'status', 'metadata', 'bootable', 'migration_status', 'availability_zone', 'group_id', 'size', 'created_at', 'updated_at', 'consumes_quota'], backup: ['name', 'status', 'volume_id'],
  snapshot: ['name', 'status', 'volume_id', 'metadata', 'availability_zone', 'consumes_quota'], group: [], group_snapshot: ['status', 'group_id'], attachment: ['volume_id', 'status', 'instance_id', 'attach_status'],
  message: ['resource_uuid', 'resource_type', 'event_id', 'request_id', 'message_level'], pool: ['name', 'volume_type'], volume_type: ['is_public', 'extra_specs'],
};
