import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { boundTo, by } from './asking.ts';
import { create as createSnapshot, destroy as destroySnapshot, list as listSnapshots, show as showSnapshot } from './snapshots/service.ts';
import type { SnapshotRow } from './snapshots/store.ts';
import { create } from './volumes/create.ts';
import { deleteVolume, list, show } from './volumes/service.ts';
import { shownStatus } from './volumes/states.ts';
import { detailById, type VolumeDetail } from './volumes/store.ts';

/** A volume as compute's older names show it. Size in GiB. */
export interface OlderVolume {
  readonly id: string; readonly status: string; readonly size: number; readonly availability_zone: string; readonly created_at: Date; readonly name: string | null; readonly description: string | null; readonly snapshot_id: string | null;
  readonly metadata: Readonly<Record<string, string>>; readonly type: string; readonly attachments: readonly { readonly server_id: string; readonly device: string | null }[];
}
export interface OlderSnapshot { readonly id: string; readonly status: string; readonly size: number; readonly created_at: Date; readonly name: string | null; readonly description: string | null; readonly volume_id: string }
export interface OlderPage { readonly limit?: string | undefined; readonly offset?: string | undefined }
type Asked = Context;

const volume = (v: VolumeDetail): OlderVolume => ({
  id: v.id, status: shownStatus(v.status), size: v.size, availability_zone: v.availability_zone, created_at: v.created_at, name: v.name, description: v.description, snapshot_id: v.snapshot_id, metadata: v.metadata, type: v.type_name,
  attachments: v.attachments.flatMap(a => (a.server_id !== null && a.status === 'attached' ? [{ server_id: a.server_id, device: a.device }] : [])),
});
const snapshot = (s: SnapshotRow): OlderSnapshot => ({ id: s.id, status: shownStatus(s.status), size: s.size, created_at: s.created_at, name: s.name, description: s.description, volume_id: s.volume_id });
const given = (page: OlderPage) => Object.fromEntries(Object.entries(page).filter(([, v]) => v !== undefined));

/** Volumes and snapshots for compute's `os-volumes` and `os-snapshots`: the very use cases of this service. Each asks the rule of the operation that `ctx` is of. */
export const olderNamesOf = (rt: Runtime) => ({
  list: async (ctx: Asked, page: OlderPage): Promise<OlderVolume[]> => (await list(rt, ctx, given(page))).rows.map(volume),
  show: async (ctx: Asked, id: string): Promise<OlderVolume> => volume(await show(rt, ctx, id)),
  async create(ctx: Asked, o: { name?: string | undefined; description?: string | undefined; sizeGiB: number; type?: string | undefined; zone?: string | undefined; metadata?: Record<string, string> | undefined; snapshotId?: string | undefined }): Promise<OlderVolume> {
    ctx.permit();
    const id = await create(rt, { by: { ...by(ctx), projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId }, bound: boundTo(ctx), ...o });
    return volume(await detailById(rt.db, id) as VolumeDetail);
  },
  remove: (ctx: Asked, id: string): Promise<void> => deleteVolume(rt, ctx, id, {}),
  snapshots: {
    list: async (ctx: Asked, page: OlderPage): Promise<OlderSnapshot[]> => (await listSnapshots(rt, ctx, given(page))).rows.map(snapshot),
    show: async (ctx: Asked, id: string): Promise<OlderSnapshot> => snapshot(await showSnapshot(rt, ctx, id)),
    create: async (ctx: Asked, volumeId: string, o: { name?: string | undefined; description?: string | undefined; force: boolean }): Promise<OlderSnapshot> => snapshot(await createSnapshot(rt, ctx, volumeId, o)),
    remove: (ctx: Asked, id: string): Promise<void> => destroySnapshot(rt, ctx, id),
  },
});
export type OlderNames = ReturnType<typeof olderNamesOf>;
