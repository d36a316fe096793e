import { passesFilter } from '@cumulet/fetch';
import { bare } from '@cumulet/wire';
import { DriverError } from '@cumulet/drivers';
import { transaction } from '@cumulet/db';
import { z } from 'zod';
import { imagePlan } from '../images/tasks.ts';
import { base, imageSchema, readOnlyNames, reserved, reservedPrefix } from '../images/schemas.ts';
import { imageById, insertImage, removeImage } from '../images/store.ts';
import { importPlan } from '../imports/tasks.ts';

/** The legacy task of type `import`: makes the image, then imports into it as web-download does, with the same filter and inspection. */
export const taskImportPlan = imagePlan('image.task_import', z.object({ imageId: z.string(), owner: z.string().nullable(), publicize: z.boolean(), task: z.record(z.string(), z.unknown()) }))
  .step('create', async t => {
    const { import_from: from, import_from_format: format, image_properties: properties } = t.input.task;
    for (const [name, value] of Object.entries({ import_from: from, import_from_format: format, image_properties: properties })) if (value === undefined || value === null) throw invalid(`Input does not contain '${name}' field`);
    if (typeof from !== 'string' || !passesFilter(from, t.deps.settings.image.fetch)) throw invalid(`URI for legacy import task does not pass filtering: ${bare(from)}`);
    const row = attributes(properties, bare(format), t.input.publicize);
    await t.transaction(async trx => {
      if (await imageById(trx, t.input.imageId)) return;
      await insertImage(trx, { ...row, id: t.input.imageId, owner: t.input.owner });
    });
    return t.input.imageId;
  }, {
    undo: async t => {
      await transaction(t.deps.db, async trx => { const row = await imageById(trx, t.input.imageId); if (row?.status === 'queued') await removeImage(trx, row.id); });
    },
  })
  .step('import', async t => {
    await t.child(importPlan, {
      imageId: t.input.imageId, method: 'web-download', uri: String(t.input.task['import_from']), stores: [t.deps.stores.default.name], allMustSucceed: true, shown: {},
    }, { queue: 'image', lane: `image/${t.input.imageId}`, resource: { type: 'image', id: t.input.imageId } });
  });

const invalid = (message: string) => new DriverError('invalid', message);

/** The image's attributes and custom properties; the format in which it comes is the disk's when none is named. */
function attributes(given: unknown, format: string, publicize: boolean) {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalid("Input does not contain 'image_properties' field");
  const parsed = imageSchema.safeParse({ container_format: 'bare', disk_format: format, ...given });
  if (!parsed.success) throw invalid(`image_properties do not match the image schema: ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
  const { data } = parsed;
  const properties: Record<string, string> = {};
  for (const [key, value] of Object.entries(data)) {
    if (reserved.has(key) || key.startsWith(reservedPrefix) || readOnlyNames.has(key) || key === 'owner' || key === 'locations') throw invalid(`Attribute '${key}' cannot be given to an import task.`);
    if (!base.has(key) && value !== null) properties[key] = bare(value);
  }
  if (data.visibility === 'public' && !publicize) throw invalid('You are not authorized to complete publicize_image action.');
  return {
    name: data.name ?? null, visibility: data.visibility ?? 'shared' as const, protected: data.protected ?? false, os_hidden: data.os_hidden ?? false, disk_format: data.disk_format ?? null, container_format: data.container_format ?? null,
    min_disk: data.min_disk ?? 0, min_ram: data.min_ram ?? 0, tags: [...new Set(data.tags ?? [])], properties,
  };
}
