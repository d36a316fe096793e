import { DriverError } from '@cumulet/drivers';
import { metadataContainer, readContainer, restoredFields } from '@cumulet/drivers/backup';
import type { VolumeRow } from '../volumes/store.ts';
import type { BackupRow } from './store.ts';

/** A volume's metadata container: upstream keeps the columns of its row, so that whoever finds the backup knows whose it was. */
export const describeVolume = (volume: VolumeRow): string => metadataContainer({
  base: {
    id: volume.id, name_id: volume.id, user_id: volume.user_id, project_id: volume.project_id, size: volume.size, status: 'backing-up', display_name: volume.name, display_description: volume.description, availability_zone: volume.availability_zone,
    bootable: volume.bootable, multiattach: volume.multiattach, volume_type_id: volume.type_id, snapshot_id: volume.snapshot_id, source_volid: volume.source_volid, encryption_key_id: volume.encryption_key_id, created_at: volume.created_at.toISOString().slice(0, 19),
  },
  metadata: volume.metadata, glance: volume.image_metadata,
});

/** Before the task may end in success: containers that cannot be read, or that ask for another type of encryption, fail the restore. */
export function checkContainers(volume: VolumeRow, containers: readonly string[]): void {
  for (const text of containers) {
    const { encryptedType } = restoredFields(readContainer(text), { name: volume.name });
    if (encryptedType !== undefined && encryptedType !== volume.type_id) throw new DriverError('invalid', `The source volume type '${encryptedType}' is different than the destination volume type '${volume.type_id}'.`);
  }
}

/**
 * What a restored volume's row takes over by upstream's rules, container after container, oldest first; and where it came from, unless it is the backup's own volume.
 * With image metadata it is bootable.
 */
export function restoredValues(volume: VolumeRow, backup: BackupRow, containers: readonly string[]): Partial<VolumeRow> {
  let values = { name: volume.name, description: volume.description, metadata: volume.metadata, image_metadata: volume.image_metadata, bootable: volume.bootable };
  for (const text of containers) {
    const f = restoredFields(readContainer(text), { name: volume.name });
    values = {
      name: f.name ?? values.name, description: f.description === undefined ? values.description : f.description, metadata: f.metadata ? { ...f.metadata } : values.metadata,
      ...(f.glance ? { image_metadata: { ...f.glance }, bootable: true } : { image_metadata: values.image_metadata, bootable: values.bootable }),
    };
  }
  const before = values.metadata['src_backup_id'];
  return backup.volume_id !== volume.id || (before !== undefined && before !== backup.id) ? { ...values, metadata: { ...values.metadata, src_backup_id: backup.id } } : values;
}
