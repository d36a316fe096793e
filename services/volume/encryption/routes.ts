import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { NotFound } from '@cumulet/wire';
import { typeById } from '../types/store.ts';
import { show } from '../volumes/service.ts';

/** What whoever attaches a volume has to know of its encryption: never the key. Unencrypted volumes have an id of nothing, as upstream says it. */
async function facts(rt: Runtime, ctx: Context): Promise<Record<string, unknown>> {
  const volume = await show(rt, ctx, ctx.params['volume_id'] ?? '');
  const encryption = (await typeById(rt.db, volume.type_id))?.encryption;
  return { encryption_key_id: volume.encryption_key_id, ...(encryption ? { control_location: encryption.control_location, cipher: encryption.cipher, key_size: encryption.key_size, provider: encryption.provider } : {}) };
}
const path = '/volumes/:volume_id/encryption';
export const routes = (rt: Runtime): Operation[] => [
  operation({ id: 'volumes.encryption.list', summary: 'Show how a volume is encrypted', method: 'GET', path, policy: 'volume_extension:volume_encryption_metadata', permit: 'object', handler: ctx => facts(rt, ctx as never) }),
  operation({
    id: 'volumes.encryption.show', summary: 'Show one fact of it', method: 'GET', path: `${path}/:key`, policy: 'volume_extension:volume_encryption_metadata', permit: 'object',
    handler: async ctx => {
      const key = ctx.params['key'] ?? '';
      const all = await facts(rt, ctx as never);
      if (!Object.hasOwn(all, key)) throw new NotFound(`Volume ${ctx.params['volume_id']} has no encryption metadata with key ${key}.`);
      return all[key] === null || typeof all[key] === 'number' ? JSON.stringify(all[key]) : all[key];
    },
  }),
];
