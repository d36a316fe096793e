import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, lastOf, parseBool, shape } from '@cumulet/wire';
import { z } from 'zod';
import { boundTo, by } from '../asking.ts';
import { anyQuery, nextLink } from '../listing.ts';
import { strictBool } from '../shapes.ts';
import { createFromBackup } from '../backups/restore.ts';
import { create, type NewVolumeRequest } from './create.ts';
import { SummaryReply, VolumeCreate, VolumeList, VolumeOne, VolumeUpdate } from './schemas.ts';
import { deleteVolume, list, show, update } from './service.ts';
import { detailById, type VolumeDetail } from './store.ts';
import { summary } from './summary.ts';
import { brief, created, detail } from './view.ts';

const ListQuery = shape('VolumeListQuery', anyQuery);
const DeleteQuery = shape('VolumeDeleteQuery', z.looseObject({ cascade: z.unknown().optional(), force: z.unknown().optional() }));
const removedMultiattach = 'multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes.';

/** `/volumes`: create, list, show, update, delete, summary. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'volumes.create', summary: 'Create a volume', method: 'POST', path: '/volumes', policy: 'volume:create', body: VolumeCreate, reply: VolumeOne, status: 202,
    handler: async ctx => {
      const { volume } = ctx.body;
      const image = volume.imageRef ?? volume.image_id;
      if (volume.multiattach) throw new BadRequest(removedMultiattach);
      if (image) ctx.require('volume:create_from_image');
      const asked: NewVolumeRequest = {
        by: { ...by(ctx), projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId }, bound: boundTo(ctx), name: volume.name ?? volume.display_name, description: volume.description ?? volume.display_description, sizeGiB: volume.size,
        type: volume.volume_type, zone: volume.availability_zone, metadata: volume.metadata, snapshotId: volume.snapshot_id, volumeId: volume.source_volid, imageId: image, novaImages: ctx.dialect.has('nova images'), groupId: volume.group_id ?? volume.consistencygroup_id,
        hints: ctx.body['OS-SCH-HNT:scheduler_hints'] ?? ctx.body['os:scheduler_hints'],
      };
      const id = volume.backup_id ? await createFromBackup(rt, volume.backup_id, asked) : await create(rt, asked);
      return { volume: created(ctx, await detailById(rt.db, id) as VolumeDetail) };
    },
  }),
  operation({
    id: 'volumes.list', summary: 'List volumes', method: 'GET', path: '/volumes', policy: 'volume:get_all', permit: 'object', query: ListQuery, reply: VolumeList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { volumes: rows.map(r => brief(ctx, r)), ...nextLink(ctx, 'volumes', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({
    id: 'volumes.detail', summary: 'List volumes with details', method: 'GET', path: '/volumes/detail', policy: 'volume:get_all', permit: 'object', query: ListQuery, reply: VolumeList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { volumes: rows.map(r => detail(ctx, r)), ...nextLink(ctx, 'volumes', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({
    id: 'volumes.summary', summary: 'Number, size and metadata of volumes', method: 'GET', path: '/volumes/summary', since: '3.12', policy: 'volume:get_all', query: ListQuery, reply: SummaryReply,
    handler: async ctx => ({ 'volume-summary': await summary(rt.db, ctx.allows('context_is_admin') && parseBool(lastOf(ctx.query['all_tenants'])) === true ? undefined : ctx.caller.projectId ?? '') }),
  }),
  operation({
    id: 'volumes.show', summary: 'Show a volume', method: 'GET', path: '/volumes/:volume_id', policy: 'volume:get', permit: 'object', reply: VolumeOne,
    handler: async ctx => ({ volume: detail(ctx, await show(rt, ctx as never, ctx.params['volume_id'] ?? '')) }),
  }),
  operation({
    id: 'volumes.update', summary: 'Update a volume', method: 'PUT', path: '/volumes/:volume_id', policy: 'volume:update', permit: 'object', body: VolumeUpdate, reply: VolumeOne,
    handler: async ctx => {
      if (Object.keys(ctx.body.volume).length === 0) throw new BadRequest("Must specify 'name', 'description' or 'metadata' for volume update.");
      return { volume: created(ctx, await update(rt, ctx as never, ctx.params['volume_id'] ?? '', ctx.body.volume)) };
    },
  }),
  operation({
    id: 'volumes.delete', summary: 'Delete a volume', method: 'DELETE', path: '/volumes/:volume_id', policy: 'volume:delete', permit: 'object', query: DeleteQuery,
    handler: async ctx => {
      const flag = (value: unknown) => (value === undefined ? false : strictBool(lastOf(value), m => new BadRequest(m)));
      const force = ctx.dialect.has('force in delete') && flag(ctx.query.force);
      if (force) ctx.require('volume:force_delete');
      await deleteVolume(rt, ctx as never, ctx.params['volume_id'] ?? '', { cascade: flag(ctx.query.cascade), force });
      return new Reply(202);
    },
  }),
];
