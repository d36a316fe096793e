import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation, type OperationSpec } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { by } from '../asking.ts';
import { invalidVolume, metadataNotFound } from '../faults.ts';
import { metadataRoutes } from '../metadata.ts';
import * as bodies from './action_schemas.ts';
import { changeMap, destroy, extend, held, resetStatus, show } from './service.ts';
import { patch } from './store.ts';

type Spec<B extends z.ZodType> = Pick<OperationSpec<B, z.ZodType>, 'policy' | 'body' | 'since' | 'status' | 'summary'> & { readonly action: string; handler(ctx: Context<z.output<B>>, id: string): unknown };
/** An operation on `/volumes/ID/action`. */
export const volumeAction = <B extends z.ZodType = z.ZodType<undefined>>(spec: Spec<B>): Operation => operation<B>({
  id: `volumes.${spec.action.replace(/^os-/, '')}`, method: 'POST', path: '/volumes/:volume_id/action', permit: 'object', ...spec, handler: ctx => spec.handler(ctx as never, ctx.params['volume_id'] ?? ''),
} as OperationSpec<B, z.ZodType<Record<string, never>>>);
const Any = shape('AnyAction', z.looseObject({}));
/** Image metadata that upstream keeps for itself. */
const guardedImageKeys = ['image_id', 'image_name'];

/** Actions that change the row, and those that only start a task. */
export const actions = (rt: Runtime): Operation[] => [
  volumeAction({ action: 'os-extend', summary: 'Extend', policy: 'volume:extend', body: bodies.Extend, handler: async (ctx, id) => { await extend(rt, ctx as never, id, ctx.body['os-extend'].new_size); return new Reply(202); } }),
  volumeAction({ action: 'os-reset_status', summary: 'Reset status', policy: 'volume_extension:volume_admin_actions:reset_status', body: bodies.ResetStatus, handler: async (ctx, id) => { await resetStatus(rt, ctx as never, id, ctx.body['os-reset_status']); return new Reply(202); } }),
  volumeAction({
    action: 'os-force_delete', summary: 'Delete whatever the status', policy: 'volume_extension:volume_admin_actions:force_delete', body: Any,
    handler: (ctx, id) => transaction(rt.db, async trx => { await destroy(rt, trx, await held(trx, ctx as never, id), by(ctx), { force: true }); return new Reply(202); }),
  }),
  volumeAction({
    action: 'os-set_bootable', summary: 'Mark as bootable', policy: 'volume:update', body: bodies.SetBootable,
    handler: (ctx, id) => transaction(rt.db, async trx => { await patch(trx, (await held(trx, ctx as never, id)).id, { bootable: ctx.body['os-set_bootable'].bootable }); return new Reply(200); }),
  }),
  volumeAction({
    action: 'os-update_readonly_flag', summary: 'Mark as read-only', policy: 'volume:update_readonly_flag', body: bodies.ReadonlyFlag,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const row = await held(trx, ctx as never, id);
      if (row.status !== 'available') throw invalidVolume(`Volume ${row.id} status must be available to update readonly flag, but current status is: ${row.status}.`);
      await patch(trx, row.id, { admin_metadata: { ...row.admin_metadata, readonly: ctx.body['os-update_readonly_flag'].readonly ? 'True' : 'False' } });
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-set_image_metadata', summary: 'Set image metadata', policy: 'volume_extension:volume_image_metadata:set', body: bodies.SetImageMetadata, status: 200,
    handler: async (ctx, id) => ({ metadata: await changeMap(rt, ctx as never, id, 'image_metadata', now => ({ ...now, ...ctx.body['os-set_image_metadata'].metadata })) }),
  }),
  volumeAction({
    action: 'os-unset_image_metadata', summary: 'Remove image metadata', policy: 'volume_extension:volume_image_metadata:remove', body: bodies.UnsetImageMetadata,
    handler: async (ctx, id) => {
      const { key } = ctx.body['os-unset_image_metadata'];
      await changeMap(rt, ctx as never, id, 'image_metadata', (now, row) => {
        if (!Object.hasOwn(now, key) || guardedImageKeys.includes(key) && !ctx.allows('context_is_admin')) throw metadataNotFound(`Metadata does not exist. Volume ${row.id} has no image metadata with key ${key}.`);
        const { [key]: _, ...rest } = now;
        return rest;
      });
      return new Reply(200);
    },
  }),
  volumeAction({ action: 'os-show_image_metadata', summary: 'Show image metadata', policy: 'volume:get_volume_metadata', body: Any, status: 200, handler: async (ctx, id) => ({ metadata: (await show(rt, ctx as never, id)).image_metadata ?? {} }) }),
  ...metadataRoutes({
    feature: 'volumes.metadata', collection: 'volumes', label: 'Volume', etag: true,
    policies: { get: 'volume:get_volume_metadata', create: 'volume:create_volume_metadata', update: 'volume:update_volume_metadata', delete: 'volume:delete_volume_metadata' },
    read: async (ctx, id) => (await show(rt, ctx, id)).metadata, change: (ctx, id, how) => changeMap(rt, ctx, id, 'metadata', how),
  }),
];
