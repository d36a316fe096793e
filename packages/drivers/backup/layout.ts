import { DriverError } from '../errors.ts';
import type { BackupRef } from './contract.ts';

/**
 * Upstream's names (cinder/backup/chunkeddriver.py): `<prefix>-00001` …, `<prefix>_metadata`, `<prefix>_sha256file`. Restoring there, every
 * object that begins with the prefix must be in the metadata's list, so ours begin with something else.
 */
export const objectName = (prefix: string, number: number): string => `${prefix}-${String(number).padStart(5, '0')}`;
export const metadataName = (prefix: string): string => `${prefix}_metadata`;
export const sha256Name = (prefix: string): string => `${prefix}_sha256file`;
/** Ours: hashes of a part of the volume, and what was stored for it. Upstream neither reads nor deletes them. */
export const partsPrefix = (prefix: string): string => `cumulet_${prefix}_part-`;
export const partName = (prefix: string, number: number): string => `${partsPrefix(prefix)}${String(number).padStart(5, '0')}`;

const uuid = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}';
/** `volume_<id>_<time>_backup_<id>` in directories, `volume_<id>/<time>/az_<zone>_backup_<id>` in Swift. */
const prefixes = new RegExp(`^volume_(${uuid})[_/]\\d{14}[_/](?:az_[\\w.-]{1,200}_)?backup_(${uuid})$`);

/** Which volume and backup a prefix names; undefined when it is not one that upstream or we would make. */
export function readPrefix(prefix: string): { readonly volumeId: string; readonly backupId: string } | undefined {
  const [, volumeId, backupId] = prefixes.exec(prefix) ?? [];
  return volumeId === undefined || backupId === undefined ? undefined : { volumeId, backupId };
}

/** A ref comes from a row, and a row may come from somebody's record: its prefix must be one, before it chooses objects. */
export function checkRef(backup: BackupRef): void {
  if (!readPrefix(backup.serviceMetadata)) throw new DriverError('invalid', 'The place of the backup is not valid.', { detail: JSON.stringify(backup.serviceMetadata.slice(0, 200)) });
}

/** `20261121105659`, UTC. */
export const stamp = (now: Date): string => now.toISOString().replaceAll(/\D/g, '').slice(0, 14);

/** As Python prints a row's time: `2026-11-21 10:56:59+00:00`. */
export const pythonTime = (at: Date): string => `${at.toISOString().slice(0, 19).replace('T', ' ')}+00:00`;

/** Of directories: one for each backup. */
export const ownContainer = (id: string): string => `${id.slice(0, 2)}/${id.slice(2, 4)}/${id}`;

/** Of directories: a path below them, however it came into a row. Its parts. */
export function checkContainer(container: string): string[] {
  const parts = container.split('/');
  const fine = container.length <= 255 && parts.every((part) => part !== '' && !part.startsWith('.') && !/[\0-\x1f\\]/.test(part));
  if (!fine) throw new DriverError('invalid', 'The name of the container is not valid.', { detail: JSON.stringify(container.slice(0, 300)) });
  return parts;
}
