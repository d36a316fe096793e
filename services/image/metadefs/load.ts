import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Namespace } from './schemas.ts';
import { writeNamespace } from './service.ts';

/** Where Debian's glance-common has upstream's standard namespaces: its own copy, that an administrator may have changed, comes first. */
const standardFolders = ['/etc/glance/metadefs', '/usr/share/glance-common/metadefs'];

/** The folder that the settings name, else that of upstream's standard namespaces; undefined when there is none. */
export async function metadefFolder(named: string | undefined, standard: readonly string[] = standardFolders): Promise<string | undefined> {
  if (named !== undefined) return named;
  for (const folder of standard) if ((await filesIn(folder)).length > 0) return folder;
  return undefined;
}
const filesIn = async (folder: string) => (await readdir(folder).catch(() => [] as string[])).filter(f => f.endsWith('.json')).toSorted();

/**
 * Loads namespaces from a folder of JSON files in upstream's form (those of Debian's glance-common, of horizon, one's own), with all that is in them. One that is there stays
 * as it is, and one that was loaded and deleted stays away unless it is asked for again; a file that is none is left out with a line in the log. Gives how many were new.
 */
export async function loadMetadefs(rt: Pick<Runtime, 'db' | 'log'>, folder: string, owner: string, { again = false } = {}): Promise<number> {
  let loaded = 0;
  for (const file of await filesIn(folder)) {
    const parsed = await readFile(join(folder, file), 'utf8').then(text => Namespace.newest.safeParse(JSON.parse(text))).catch((error: unknown) => ({ success: false as const, error }));
    if (!parsed.success) { rt.log.warn({ file, err: parsed.error }, 'not a metadata definition namespace'); continue; }
    const input = parsed.data;
    const made = await transaction(rt.db, async trx => {
      const [first] = await trx('metadef_seeds').insert({ namespace: input.namespace }).onConflict('namespace').ignore().returning('namespace');
      return first || again ? writeNamespace(trx, { ...input, owner }, owner) : undefined;
    });
    if (made) loaded++;
  }
  return loaded;
}
