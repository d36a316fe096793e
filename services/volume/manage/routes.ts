import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { micros, orNull, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery } from '../listing.ts';
import { bool, description, nullableMetadata, nullableName, zoneName } from '../shapes.ts';
import { volumeAction } from '../volumes/actions.ts';
import { VolumeOne } from '../volumes/schemas.ts';
import { SnapshotOne } from '../snapshots/schemas.ts';
import { created } from '../volumes/view.ts';
import { manage, manageable, manageSnapshot, unmanage, unmanageSnapshot } from './service.ts';

const ref = z.record(z.string(), z.string());
const VolumeManage = shape('VolumeManage', z.looseObject({ volume: z.object({ name: nullableName, description, host: z.string().max(255).optional(), cluster: z.string().max(255).nullish(), ref, volume_type: z.string().nullish(), metadata: nullableMetadata, availability_zone: zoneName, bootable: bool.nullish() }) }));
const SnapshotManage = shape('SnapshotManage', z.looseObject({ snapshot: z.object({ volume_id: z.string(), ref, name: nullableName, description, metadata: nullableMetadata }) }));
const Query = shape('ManageableQuery', anyQuery);
const Any = shape('AnyAction', z.looseObject({}));
const at = orNull(micros);

/** What is on a backend already: taken under management, and let go of. `manageable_*` from 3.8 on, the older paths always. */
export const routes = (rt: Runtime): Operation[] => [
  ...([{ path: '/manageable_volumes', feature: 'manageable_volumes', since: { since: '3.8' as const } }, { path: '/os-volume-manage', feature: 'volume_manage', since: {} }]).flatMap(({ path, feature, since }) => [
    operation({
      id: `${feature}.create`, summary: 'Manage a volume', method: 'POST', path, ...since, policy: 'volume_extension:volume_manage', body: VolumeManage, reply: VolumeOne, status: 202,
      handler: async c => {
        const v = c.body.volume;
        const row = await manage(rt, c as never, { host: v.host ?? v.cluster ?? '', ref: v.ref, name: v.name ?? null, description: v.description ?? null, type: v.volume_type ?? null, metadata: v.metadata ?? {}, zone: v.availability_zone ?? null, bootable: v.bootable ?? false });
        return { volume: { ...created(c, row), status: 'creating' } };   // upstream's word at this point
      },
    }),
    operation({ id: `${feature}.list`, summary: 'List manageable volumes', method: 'GET', path, ...since, policy: 'volume_extension:list_manageable', query: Query, handler: async c => ({ 'manageable-volumes': await manageable(rt, c as never, c.query, 'volumes', false) }) }),
    operation({ id: `${feature}.detail`, summary: 'List manageable volumes with details', method: 'GET', path: `${path}/detail`, ...since, policy: 'volume_extension:list_manageable', query: Query, handler: async c => ({ 'manageable-volumes': await manageable(rt, c as never, c.query, 'volumes', true) }) }),
  ]),
  ...([{ path: '/manageable_snapshots', feature: 'manageable_snapshots', since: { since: '3.8' as const } }, { path: '/os-snapshot-manage', feature: 'snapshot_manage', since: {} }]).flatMap(({ path, feature, since }) => [
    operation({
      id: `${feature}.create`, summary: 'Manage a snapshot', method: 'POST', path, ...since, policy: 'snapshot_extension:snapshot_manage', permit: 'object', body: SnapshotManage, reply: SnapshotOne, status: 202,
      handler: async c => {
        const s = c.body.snapshot;
        const row = await manageSnapshot(rt, c as never, { volumeId: s.volume_id, ref: s.ref, name: s.name ?? null, description: s.description ?? null, metadata: s.metadata ?? {} });
        return { snapshot: { id: row.id, created_at: micros(row.created_at), updated_at: at(row.updated_at), name: row.name, description: row.description, volume_id: row.volume_id, status: 'creating', size: row.size, metadata: row.metadata, group_snapshot_id: null, user_id: row.user_id, consumes_quota: row.consumes_quota } };
      },
    }),
    operation({ id: `${feature}.list`, summary: 'List manageable snapshots', method: 'GET', path, ...since, policy: 'snapshot_extension:list_manageable', query: Query, handler: async c => ({ 'manageable-snapshots': await manageable(rt, c as never, c.query, 'snapshots', false) }) }),
    operation({ id: `${feature}.detail`, summary: 'List manageable snapshots with details', method: 'GET', path: `${path}/detail`, ...since, policy: 'snapshot_extension:list_manageable', query: Query, handler: async c => ({ 'manageable-snapshots': await manageable(rt, c as never, c.query, 'snapshots', true) }) }),
  ]),
  volumeAction({ action: 'os-unmanage', summary: 'Forget it, keep its data', policy: 'volume_extension:volume_unmanage', body: Any, handler: async (ctx, id) => { await unmanage(rt, ctx as never, id); return new Reply(202); } }),
  operation({ id: 'snapshots.unmanage', summary: 'Forget it, keep its data', method: 'POST', path: '/snapshots/:snapshot_id/action', action: 'os-unmanage', policy: 'snapshot_extension:snapshot_unmanage', permit: 'object', body: Any, handler: async c => { await unmanageSnapshot(rt, c as never, c.params['snapshot_id'] ?? ''); return new Reply(202); } }),
];
