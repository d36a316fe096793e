import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, micros, NotFound } from '@cumulet/wire';
import type { Compute } from '../compute.ts';
import { whoOf } from '../who.ts';

const until = '2.35';
interface Row { id: string; status: string; size: number; availability_zone: string; created_at: Date; name: string | null; description: string | null; snapshot_id: string | null; metadata: Record<string, string>; type: string | null; attachments: { server_id: string; device: string }[] }
interface Snap { id: string; name: string | null; description: string | null; status: string; volume_id: string; size: number; created_at: Date }

/** Volumes as nova-volume showed them: read here, changed through the block storage service. */
export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const rows = (ctx: Context) => db('volumes as v').leftJoin('volume_types as t', 't.id', 'v.type_id').where('v.project_id', whoOf(ctx).projectId).where('v.hidden', false).orderByRaw('v.created_at desc nulls last, v.id desc nulls last').limit(c.rt.settings.http.maxLimit)
    .select('v.*', 't.name as type', db.raw(`coalesce((select jsonb_agg(jsonb_build_object('server_id', b.server_id, 'device', b.device_name)) from block_devices b where b.volume_id = v.id and b.attachment_id is not null), '[]') as attachments`));
  const view = (v: Row) => ({
    id: v.id, status: v.status, size: v.size, availabilityZone: v.availability_zone, createdAt: micros(v.created_at), attachments: v.attachments.length > 0 ? v.attachments.map(a => ({ id: v.id, volumeId: v.id, serverId: a.server_id, ...(a.device ? { device: a.device } : {}) })) : [{}],
    displayName: v.name, displayDescription: v.description, volumeType: v.type, snapshotId: v.snapshot_id, metadata: v.metadata,
  });
  const snaps = (ctx: Context) => db('volume_snapshots').where({ project_id: whoOf(ctx).projectId }).orderByRaw('created_at desc nulls last').limit(c.rt.settings.http.maxLimit);
  const snapView = (s: Snap) => ({ id: s.id, status: s.status, size: s.size, createdAt: micros(s.created_at), displayName: s.name, displayDescription: s.description, volumeId: s.volume_id });
  const elsewhere = (): never => { throw new BadRequest('Volumes and snapshots are changed through the block storage service.'); };
  const list = (id: string, path: string, rule: string) => operation({ id, summary: 'Volumes (older name)', method: 'GET', path, until, policy: rule, handler: async ctx => ({ volumes: (await rows(ctx as never) as Row[]).map(view) }) });
  const snapList = (id: string, path: string, rule: string) => operation({ id, summary: 'Snapshots (older name)', method: 'GET', path, until, policy: rule, handler: async ctx => ({ snapshots: (await snaps(ctx as never) as Snap[]).map(snapView) }) });
  return [
    list('volumes.list', '/os-volumes', 'os_compute_api:os-volumes:list'), list('volumes.detail', '/os-volumes/detail', 'os_compute_api:os-volumes:detail'),
    operation({
      id: 'volumes.show', summary: 'A volume (older name)', method: 'GET', path: '/os-volumes/:id', until, policy: 'os_compute_api:os-volumes:show',
      handler: async ctx => { const v = (await rows(ctx as never) as Row[]).find(x => x.id === ctx.params['id']); if (!v) throw new NotFound(`Volume ${ctx.params['id']} could not be found.`); return { volume: view(v) }; },
    }),
    operation({ id: 'volumes.create', summary: 'A new volume (older name)', method: 'POST', path: '/os-volumes', until, policy: 'os_compute_api:os-volumes:create', handler: elsewhere }),
    operation({ id: 'volumes.delete', summary: 'Delete a volume (older name)', method: 'DELETE', path: '/os-volumes/:id', until, policy: 'os_compute_api:os-volumes:delete', handler: elsewhere }),
    snapList('snapshots.list', '/os-snapshots', 'os_compute_api:os-volumes:snapshots:list'), snapList('snapshots.detail', '/os-snapshots/detail', 'os_compute_api:os-volumes:snapshots:detail'),
    operation({
      id: 'snapshots.show', summary: 'A snapshot (older name)', method: 'GET', path: '/os-snapshots/:id', until, policy: 'os_compute_api:os-volumes:snapshots:show',
      handler: async ctx => { const s = (await snaps(ctx as never) as Snap[]).find(x => x.id === ctx.params['id']); if (!s) throw new NotFound(`Snapshot ${ctx.params['id']} could not be found.`); return { snapshot: snapView(s) }; },
    }),
    operation({ id: 'snapshots.create', summary: 'A new snapshot (older name)', method: 'POST', path: '/os-snapshots', until, policy: 'os_compute_api:os-volumes:snapshots:create', handler: elsewhere }),
    operation({ id: 'snapshots.delete', summary: 'Delete a snapshot (older name)', method: 'DELETE', path: '/os-snapshots/:id', until, policy: 'os_compute_api:os-volumes:snapshots:delete', handler: elsewhere }),
    operation({ id: 'assisted_snapshots.create', summary: 'A snapshot that the hypervisor takes for a volume', method: 'POST', path: '/os-assisted-volume-snapshots', policy: 'os_compute_api:os-assisted-volume-snapshots:create', handler: () => { throw new BadRequest('Assisted volume snapshots are not supported by the hypervisor.'); } }),
    operation({ id: 'assisted_snapshots.delete', summary: 'Remove such a snapshot', method: 'DELETE', path: '/os-assisted-volume-snapshots/:id', policy: 'os_compute_api:os-assisted-volume-snapshots:delete', handler: () => { throw new BadRequest('Assisted volume snapshots are not supported by the hypervisor.'); } }),
  ];
};
