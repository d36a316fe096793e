import { createHash } from 'node:crypto';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import { readAtMost } from './bytes.ts';
import type { BackupRef } from './contract.ts';
import { metadataName } from './layout.ts';
import { readMetadata, type Metadata } from './shapes.ts';
import type { ObjectStore } from './store.ts';

/** A metadata object of a volume of many TiB is smaller. */
const LARGEST_METADATA = 128 << 20;
/** The format's version. */
export const VERSION = '1.0.0';

/** The metadata object, and its hash. */
export async function readMetadataOf(call: Call, store: ObjectStore, backup: BackupRef): Promise<{ readonly metadata: Metadata; readonly sha256: string }> {
  const name = metadataName(backup.serviceMetadata);
  const bytes = await readAtMost(call, store, backup.container, name, LARGEST_METADATA);
  const metadata = readMetadata(bytes.toString('utf8'), name);
  if (metadata.version !== VERSION) throw new DriverError('invalid', `No support to restore backup version ${metadata.version.slice(0, 20)}`);
  return { metadata, sha256: createHash('sha256').update(bytes).digest('hex') };
}
