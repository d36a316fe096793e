import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Namespace } from './schemas.ts';
import { namespaceByName } from './store.ts';
import { writeNamespace } from './service.ts';

/**
 * Loads namespaces from a folder of JSON files in upstream's form (those of Debian's glance-common, of horizon, one's own). A namespace that is there stays as it is; a file
 * that is none is left out with a line in the log. Gives how many were new.
 */
export async function loadMetadefs(rt: Pick<Runtime, 'db' | 'log'>, folder: string, owner: string): Promise<number> {
  const files = (await readdir(folder).catch(() => [] as string[])).filter(f => f.endsWith('.json')).toSorted();
  let loaded = 0;
  for (const file of files) {
    const parsed = await readFile(join(folder, file), 'utf8').then(text => Namespace.newest.safeParse(JSON.parse(text))).catch((error: unknown) => ({ success: false as const, error }));
    if (!parsed.success) { rt.log.warn({ file, err: parsed.error }, 'not a metadata definition namespace'); continue; }
    const input = parsed.data;
    const made = await transaction(rt.db, async trx => (await namespaceByName(trx, input.namespace) ? undefined : writeNamespace(trx, { ...input, owner }, owner)));
    if (made) loaded++;
  }
  return loaded;
}
