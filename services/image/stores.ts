import type { Settings } from '@cumulet/config';
import { DriverError, plainCall } from '@cumulet/drivers';
import { cinderStore, fakeStore, fileStore, httpStore, rbdStore, swiftStore, type ImageStore } from '@cumulet/drivers/imagestore';
import { createRunner } from '@cumulet/exec';
import { serviceUrl, type Runtime } from '@cumulet/service';
import { isAbsolute, join } from 'node:path';

/** Stores whose locations have other schemes than the store's own. */
const schemes: Readonly<Record<string, readonly string[]>> = { http: ['http', 'https'], swift: ['swift+config', 'swift+https', 'swift+http', 'swift'] };

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
    switch (s.driver) {
      case 'file': return fileStore({ name: s.id, directory: folder(s.path ?? 'images') });
      case 'rbd': return rbdStore({ name: s.id, runner: createRunner({ log }), conf: s.rbd?.conf, user: s.rbd?.user, pool: s.rbd?.pool, objectBytes: (s.rbd?.chunkMiB ?? 8) * 2 ** 20 });
      case 'swift': {
        if (!s.swift) throw new Error(`The image store ${s.id} needs the setting swift.`);
        const { auth, segmentMiB, ...account } = s.swift;
        return swiftStore({ name: s.id, ...account, authVersion: auth === undefined ? undefined : auth === 'v1' ? 1 : 3, segmentBytes: segmentMiB * 2 ** 20 });
      }
      case 'http': return httpStore({ name: s.id, ...settings.image.fetch, idleTimeoutMs: settings.image.fetch.idleTimeoutSeconds * 1000 });
      case 'cinder': {
        const { authUrl = `${serviceUrl(settings, 'identity')}/v3`, key = settings.passwords.service, ...account } = s.cinder;
        return cinderStore({ name: s.id, authUrl, key, ...account, connector: { host: settings.host } });
      }
      case 'fake': return fakeStore({ name: s.id });
    }
  };
  const all = new Map(settings.image.stores.map(s => [s.id, open(s)]));
  const chosen = all.get((settings.image.stores.find(s => s.default) ?? settings.image.stores[0] as StoreSettings).id) as ImageStore;
  const staging = fileStore({ name: 'os_glance_staging_store', directory: folder(settings.image.stagingPath) });
  for (const store of [...all.values(), staging]) {
    try { await store.check({ ...plainCall('start', AbortSignal.timeout(60_000)), log: log as never }); } catch (error) {
      // Somebody else's storage may come back; what it holds answers 503 until then. What is configured wrongly, or is our own, must not start.
      if (!(error instanceof DriverError) || error.kind !== 'transient' || store === staging || store.scheme === 'file') throw error;
      log.error({ err: error, detail: error.detail, store: store.name }, 'an image store does not answer');
    }
  }
  return {
    ids: [...all.keys()], default: chosen, settings: settings.image.stores, staging,
    byId: id => all.get(id),
    of: ({ url, metadata }) => (typeof metadata['store'] === 'string' ? all.get(metadata['store']) : [...all.values()].find(s => schemes[s.scheme]?.some(scheme => url.startsWith(`${scheme}://`)) ?? url.startsWith(`${s.scheme}://`))),
  };
}
