import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, description, metadata, nullableMetadata, nullableName, optionalUuid, sizeGiB, uuidText, zoneName } from '../shapes.ts';

const image = z.string().max(255).nullish();
const beside = z.union([uuidText, z.array(uuidText).refine(ids => new Set(ids).size === ids.length, { error: 'has non-unique elements' })]).optional();
/** Hints that no filter knows are taken and mean nothing, as upstream. */
const hints = z.looseObject({ local_to_instance: optionalUuid, same_host: beside, different_host: beside, query: z.union([z.string(), z.looseObject({})]).optional() }).nullish();

export const VolumeCreate = shape('VolumeCreate', z.looseObject({
  volume: z.strictObject({
    name: nullableName, description, display_name: nullableName, display_description: description, volume_type: z.string().max(255).nullish(), metadata: nullableMetadata,
    snapshot_id: optionalUuid, source_volid: optionalUuid, consistencygroup_id: optionalUuid, size: sizeGiB.nullish(), availability_zone: zoneName, multiattach: bool.nullish(),
    image_id: image, imageRef: image, group_id: optionalUuid, backup_id: optionalUuid,
  }),
  'OS-SCH-HNT:scheduler_hints': hints,
  'os:scheduler_hints': hints,
}));
export const VolumeUpdate = shape('VolumeUpdate', z.strictObject({
  volume: z.strictObject({ name: nullableName, description, display_name: nullableName, display_description: description, metadata: nullableMetadata }),
}));
/** Replies. Their newest form is made in view.ts; what older versions lack is in changes.ts. */
export const VolumeReply = shape('Volume', z.unknown());
export const VolumeOne = shape('VolumeReply', z.unknown(), { volume: VolumeReply });
export const VolumeList = shape('VolumeList', z.unknown(), { volumes: VolumeReply });
const Summary = shape('Summary', z.unknown());
export const SummaryReply = shape('SummaryReply', z.unknown(), { 'volume-summary': Summary });

export const Metadata = shape('Metadata', z.strictObject({ metadata }));
export const Meta = shape('Meta', z.strictObject({ meta: metadata }));
