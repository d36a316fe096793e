import { open, rename, rm, stat } from 'node:fs/promises';
import { inspectFile } from '@cumulet/diskimage';
import { DriverError } from '../../errors.ts';
import type { ImageFormat } from '../contract.ts';

const clusterBytes = 65_536;

/** An empty image that every tool opens: its clusters are all unallocated. A raw one is sparse. */
export async function writeEmptyImage(path: string, format: 'qcow2' | 'raw', virtualSizeBytes: number): Promise<number> {
  const part = `${path}.part`;
  const file = await open(part, 'w');
  try {
    if (format === 'raw') await file.truncate(virtualSizeBytes);
    else await file.writeFile(emptyQcow2(virtualSizeBytes));
    await file.sync();
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(part, path);
  return (await stat(path)).size;
}

/** Version 3: header, refcount table, one refcount block and an L1 table, a cluster each (L1 as many as it needs). */
function emptyQcow2(virtualSizeBytes: number): Buffer {
  const l1Entries = Math.ceil(virtualSizeBytes / (clusterBytes * (clusterBytes / 8)));
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / clusterBytes));
  const clusters = 3 + l1Clusters;
  const image = Buffer.alloc(clusters * clusterBytes);
  image.write('QFI\xfb', 0, 'latin1');
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20); // cluster_bits
  image.writeBigUInt64BE(BigInt(virtualSizeBytes), 24);
  image.writeUInt32BE(l1Entries, 36);
  image.writeBigUInt64BE(BigInt(3 * clusterBytes), 40); // L1 table
  image.writeBigUInt64BE(BigInt(clusterBytes), 48); // refcount table
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96); // refcount_order: 16 bits
  image.writeUInt32BE(104, 100); // header length
  image.writeBigUInt64BE(BigInt(2 * clusterBytes), clusterBytes);
  for (let i = 0; i < clusters; i++) image.writeUInt16BE(1, 2 * clusterBytes + i * 2);
  return image;
}

/** In bytes. As a real hypervisor would: the image must be there and be read as what it is said to be. */
export async function imageSize(path: string, format: ImageFormat): Promise<number> {
  try {
    const found = await inspectFile(path);
    return format === 'qcow2' ? found.virtualSize ?? 0 : found.actualSize;
  } catch (error) {
    throw new DriverError('invalid', 'The image of the server is not on this host.', { detail: path, cause: error });
  }
}
