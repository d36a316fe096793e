import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { Holder } from '@cumulet/tasks';
import { newId } from '@cumulet/wire';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { loadMetadefs, metadefFolder } from './metadefs/load.ts';
import { openHashing } from './data/hashing.ts';
import { fill } from './data/upload.ts';
import { imageById, insertImage } from './images/store.ts';
import { openStores } from './stores.ts';

/** What the first start needs to know of the identity service's rows. */
export interface ImageSeed { readonly projects: { readonly admin: string } }

/** The metadata definitions of the folder that the settings name or of Debian's glance-common, each once, and the demo image, public, from the file that the settings name. Made once: who deletes it keeps it deleted. A start that died half-way is completed. */
export async function bootstrap(rt: Runtime, seed: ImageSeed): Promise<void> {
  const metadefs = await metadefFolder(rt.settings.image.metadefsPath);
  if (metadefs !== undefined) await loadMetadefs(rt, metadefs, 'admin');
  const { demo } = rt.settings;
  if (!demo.enabled || demo.image === undefined || /^https?:/.test(demo.image)) return;
  const size = await stat(demo.image).then(s => s.size, () => undefined);
  if (size === undefined) { rt.log.warn({ file: demo.image }, 'the demo image is not there'); return; }
  const image = await transaction(rt.db, async trx => {
    const [made] = await trx('image_seeds').insert({ name: 'demo', image_id: newId() }).onConflict('name').ignore().returning('image_id');
    if (made) return insertImage(trx, { id: made.image_id, name: demo.imageName, owner: seed.projects.admin, visibility: 'public', disk_format: demo.imageFormat, container_format: 'bare' });
    return imageById(trx, (await trx('image_seeds').where({ name: 'demo' }).first('image_id')).image_id);
  });
  if (image?.status !== 'queued') return;
  const hashing = openHashing();
  const holder = new Holder({ db: rt.db, bell: rt.bell, log: rt.log, owner: `image-bootstrap-${process.pid}`, leaseSeconds: rt.settings.worker.leaseSeconds });
  try {
    const stores = await openStores(rt);
    await fill({ rt, hashing, holder, stores }, { body: createReadStream(demo.image), size, by: { projectId: seed.projects.admin }, signal: new AbortController().signal, log: rt.log }, image, stores.default);
  } finally { await hashing.close(); }
}
