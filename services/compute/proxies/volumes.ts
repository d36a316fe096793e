import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { OlderSnapshot, OlderVolume } from '@cumulet/volume';
import { BadRequest, Fault, Forbidden, micros, one, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { boolean, whole } from '../servers/fields.ts';

const until = '2.35';
const digits = one(z.string().regex(/^[0-9]*$/).transform(v => (v === '' ? undefined : v))).optional();
const Page = shape('OlderVolumeQuery', z.looseObject({ limit: digits, offset: digits }));
const Create = shape('OlderVolumeCreate', z.strictObject({ volume: z.strictObject({
  size: whole(1), volume_type: z.string().max(255).optional(), metadata: z.record(z.string().max(255), z.union([z.string().max(255), z.number(), z.boolean()]).transform(String)).optional(), snapshot_id: z.string().max(255).optional(),
  availability_zone: z.string().max(255).optional(), display_name: z.string().max(255).optional(), display_description: z.string().max(255).optional(),
}) }));
const CreateSnapshot = shape('OlderSnapshotCreate', z.strictObject({ snapshot: z.strictObject({ volume_id: z.string().max(255), force: boolean.optional(), display_name: z.string().max(255).optional(), display_description: z.string().max(255).optional() }) }));
const Assisted = shape('AssistedSnapshotCreate', z.strictObject({ snapshot: z.strictObject({
  volume_id: z.string().min(1), create_info: z.looseObject({ snapshot_id: z.string().min(1), type: z.enum(['qcow2']), new_file: z.string().min(1), id: z.string().min(1).optional() }),
}) }));

const view = (v: OlderVolume) => ({
  id: v.id, status: v.status, size: v.size, availabilityZone: v.availability_zone, createdAt: micros(v.created_at), attachments: v.attachments.length > 0 ? v.attachments.slice(0, 1).map(a => ({ id: v.id, volumeId: v.id, serverId: a.server_id, ...(a.device ? { device: a.device } : {}) })) : [{}],
  displayName: v.name, displayDescription: v.description, volumeType: v.type, snapshotId: v.snapshot_id, metadata: v.metadata,
});
const snapView = (s: OlderSnapshot) => ({ id: s.id, status: s.status, size: s.size, createdAt: micros(s.created_at), displayName: s.name, displayDescription: s.description, volumeId: s.volume_id });
/** What the volume service refuses, as nova hands it on: over quota is 403 here. */
const handedOn = (error: unknown): never => {
  if (error instanceof Fault && error.status === 413) throw new Forbidden(error.message);
  if (error instanceof Fault && error.status === 400) throw new BadRequest(error.message.startsWith('Invalid input received: ') ? error.message : `Invalid input received: ${error.message}`);
  throw error;
};

/** Volumes and snapshots as nova-volume named them: the volume service's own use cases. */
export const routes = (c: Compute): Operation[] => {
  const { older } = c.n;
  const rule = (of: string) => `os_compute_api:os-volumes:${of}`;
  const list = (id: string, path: string, verb: string) => operation({ id, summary: 'Volumes (older name)', method: 'GET', path, until, policy: rule(verb), query: Page, handler: async ctx => ({ volumes: (await older.list(ctx as Context, ctx.query)).map(view) }) });
  const snapList = (id: string, path: string, verb: string) => operation({ id, summary: 'Snapshots (older name)', method: 'GET', path, until, policy: rule(`snapshots:${verb}`), query: Page, handler: async ctx => ({ snapshots: (await older.snapshots.list(ctx as Context, ctx.query)).map(snapView) }) });
  const unassisted = (): never => { throw new BadRequest('Assisted volume snapshots are not supported by the hypervisor.'); };
  return [
    list('volumes.list', '/os-volumes', 'list'), list('volumes.detail', '/os-volumes/detail', 'detail'),
    operation({ id: 'volumes.show', summary: 'A volume (older name)', method: 'GET', path: '/os-volumes/:id', until, policy: rule('show'), handler: async ctx => ({ volume: view(await older.show(ctx as Context, ctx.params['id'] ?? '')) }) }),
    operation({
      id: 'volumes.create', summary: 'A new volume (older name)', method: 'POST', path: '/os-volumes', until, policy: rule('create'), body: Create,
      handler: async ctx => {
        const b = ctx.body.volume;
        const made = await older.create(ctx as Context, { sizeGiB: b.size, name: b.display_name, description: b.display_description, type: b.volume_type, zone: b.availability_zone, metadata: b.metadata, snapshotId: b.snapshot_id }).catch(handedOn);
        return new Reply(200, { volume: view(made) }, { location: `${ctx.baseUrl}${ctx.path}/${made.id}` });
      },
    }),
    operation({ id: 'volumes.delete', summary: 'Delete a volume (older name)', method: 'DELETE', path: '/os-volumes/:id', until, policy: rule('delete'), handler: async ctx => { await older.remove(ctx as Context, ctx.params['id'] ?? '').catch(handedOn); return new Reply(202); } }),
    snapList('snapshots.list', '/os-snapshots', 'list'), snapList('snapshots.detail', '/os-snapshots/detail', 'detail'),
    operation({ id: 'snapshots.show', summary: 'A snapshot (older name)', method: 'GET', path: '/os-snapshots/:id', until, policy: rule('snapshots:show'), handler: async ctx => ({ snapshot: snapView(await older.snapshots.show(ctx as Context, ctx.params['id'] ?? '')) }) }),
    operation({
      id: 'snapshots.create', summary: 'A new snapshot (older name)', method: 'POST', path: '/os-snapshots', until, policy: rule('snapshots:create'), body: CreateSnapshot,
      handler: async ctx => { const b = ctx.body.snapshot; return { snapshot: snapView(await older.snapshots.create(ctx as Context, b.volume_id, { name: b.display_name, description: b.display_description, force: b.force ?? false }).catch(handedOn)) }; },
    }),
    operation({ id: 'snapshots.delete', summary: 'Delete a snapshot (older name)', method: 'DELETE', path: '/os-snapshots/:id', until, policy: rule('snapshots:delete'), handler: async ctx => { await older.snapshots.remove(ctx as Context, ctx.params['id'] ?? '').catch(handedOn); return new Reply(202); } }),
    operation({ id: 'assisted_snapshots.create', summary: 'A snapshot that the hypervisor takes for a volume', method: 'POST', path: '/os-assisted-volume-snapshots', policy: 'os_compute_api:os-assisted-volume-snapshots:create', body: Assisted, handler: unassisted }),
    operation({ id: 'assisted_snapshots.delete', summary: 'Remove such a snapshot', method: 'DELETE', path: '/os-assisted-volume-snapshots/:id', policy: 'os_compute_api:os-assisted-volume-snapshots:delete', handler: unassisted }),
  ];
};
