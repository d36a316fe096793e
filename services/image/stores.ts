import type { Settings } from '@cumulet/config';
import { plainCall } from '@cumulet/drivers';
import { fakeStore, fileStore, httpStore, type ImageStore } from '@cumulet/drivers/imagestore';
import type { Runtime } from '@cumulet/service';
import { isAbsolute, join } from 'node:path';

type StoreSettings = Settings['image']['stores'][number];

/** The image stores of this cloud, as this process has them open. */
export interface Stores {
  readonly ids: readonly string[];
  readonly default: ImageStore;
  readonly settings: readonly StoreSettings[];
  /** Where staged and resumable uploads wait. Not one of `ids`. */
  readonly staging: ImageStore;
  /** Undefined when no store has this id. */
  byId(id: string): ImageStore | undefined;
  /** The store that holds a location: the one that its metadata names, else the first that knows its scheme. */
  of(location: { readonly url: string; readonly metadata: Readonly<Record<string, unknown>> }): ImageStore | undefined;
}

/** Opens every store of the settings and checks that it can be used. Folders are relative to the state folder. */
export async function openStores({ settings, log }: Pick<Runtime, 'settings' | 'log'>): Promise<Stores> {
  const folder = (path: string) => (isAbsolute(path) ? path : join(settings.home, path));
  const open = (s: StoreSettings): ImageStore => {
    if (s.driver === 'fake') return fakeStore({ name: s.id });
    if (s.driver === 'http') return httpStore({ name: s.id, ...settings.image.fetch, idleTimeoutMs: settings.image.fetch.idleTimeoutSeconds * 1000 });
    return fileStore({ name: s.id, directory: folder(s.path ?? 'images') });
  };
  const all = new Map(settings.image.stores.map(s => [s.id, open(s)]));
  const chosen = all.get((settings.image.stores.find(s => s.default) ?? settings.image.stores[0] as StoreSettings).id) as ImageStore;
  const staging = fileStore({ name: 'os_glance_staging_store', directory: folder(settings.image.stagingPath) });
  for (const store of [...all.values(), staging]) await store.check({ ...plainCall('start'), log: log as never });
  return {
    ids: [...all.keys()], default: chosen, settings: settings.image.stores, staging,
    byId: id => all.get(id),
    of: ({ url, metadata }) => (typeof metadata['store'] === 'string' ? all.get(metadata['store']) : [...all.values()].find(s => url.startsWith(`${s.scheme}://`) || (s.scheme === 'http' && url.startsWith('https://')))),
  };
}
