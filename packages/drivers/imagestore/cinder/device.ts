import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { fromErrno } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { Attachment } from './volumes.ts';

/** Opens what an attachment gives this host: a file or a block device of raw content. Other kinds of connections are refused clearly. */
export async function openDevice({ connection_info: info }: Attachment, mode: 'rw' | 'ro'): Promise<FileHandle> {
  const { driver_volume_type: kind, device_path: path, format } = info;
  if ((kind !== 'local' && kind !== 'nfs') || typeof path !== 'string') throw new DriverError('unsupported', `Images cannot be kept on volumes of this kind (${String(kind)}).`);
  if (format !== undefined && format !== 'raw') throw new DriverError('unsupported', `Images cannot be kept on ${String(format)} volumes: choose a type whose backend makes raw ones.`);
  try {
    return await open(path, (mode === 'ro' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NOFOLLOW);
  } catch (error) {
    throw fromErrno(error, 'The volume of the image cannot be opened');
  }
}
