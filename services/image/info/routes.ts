import { operation, type Operation } from '@cumulet/http';
import { usage } from '../limits.ts';
import type { ImageDeps } from '../opened.ts';

/** What a store tells of itself to admins, in upstream's words for its kind. */
function properties(d: ImageDeps, id: string): Record<string, unknown> {
  const store = d.stores.byId(id);
  const settings = d.stores.settings.find(s => s.id === id);
  if (store?.scheme === 'file') return { data_dir: settings?.path ?? 'images', chunk_size: 65_536, thin_provisioning: true };
  return {};
}

export const routes = (d: ImageDeps): Operation[] => {
  const stores = () => d.stores.settings.map(s => ({
    id: s.id, ...(s.description === '' ? {} : { description: s.description }), ...(d.stores.default.name === s.id ? { default: 'true' } : {}), ...(d.stores.byId(s.id)?.scheme === 'http' ? { 'read-only': 'true' } : {}),
  }));
  return [
    operation({
      id: 'info.import', summary: 'The import methods', method: 'GET', path: '/info/import', policy: { anyone: 'as upstream: what the site offers is no secret' },
      handler: () => ({ 'import-methods': { description: 'Import methods available.', type: 'array', value: d.rt.settings.image.importMethods } }),
    }),
    operation({
      id: 'info.stores', summary: 'The stores', method: 'GET', path: '/info/stores', policy: { anyone: 'as upstream: users choose among them' },
      handler: () => ({ stores: stores() }),
    }),
    operation({
      id: 'info.stores_detail', summary: 'The stores with their properties', method: 'GET', path: '/info/stores/detail', policy: 'stores_info_detail',
      handler: () => ({ stores: stores().map(s => ({ ...s, type: d.stores.byId(s.id)?.scheme, properties: properties(d, s.id) })) }),
    }),
    operation({
      id: 'info.usage', summary: 'Usage and limits of the project', method: 'GET', path: '/info/usage', policy: { anyone: 'tells of the caller\'s own project only' },
      handler: async ctx => ({ usage: await usage(d.rt.db, d.rt.settings, ctx.caller.projectId ?? '') }),
    }),
  ];
};
