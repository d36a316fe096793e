import type { Context } from '@cumulet/http';
import { openFetcher, type Fetcher } from '@cumulet/fetch';
import { BadRequest, NotImplemented } from '@cumulet/wire';
import type { ImageTaskDeps } from '../images/tasks.ts';
import type { ImageDeps } from '../opened.ts';
import type { ImportInput } from './input.ts';

type Remote = NonNullable<ImportInput['remote']>;

const sealContext = (imageId: string) => `image import ${imageId}`;

/** glance-download: where the other region's image is, and the caller's token, sealed, to read it with. */
export async function remoteImage(d: ImageDeps, ctx: Context, imageId: string, method: { readonly glance_image_id?: unknown; readonly glance_region?: unknown; readonly glance_service_interface?: unknown }): Promise<Remote> {
  const wanted = method.glance_service_interface ?? 'public';
  const endpoint: { url: string } | undefined = await d.rt.db('endpoints as e').join('services as s', 's.id', 'e.service_id').where({ 's.type': 'image', 'e.region_id': String(method.glance_region), 'e.interface': String(wanted) }).first('e.url');
  if (!endpoint) throw new BadRequest(`No image endpoint of region ${String(method.glance_region)} is in the catalog.`);
  const token = ctx.request.headers['x-auth-token'];
  if (typeof token !== 'string') throw new NotImplemented('glance-download needs a token.');
  return { url: `${endpoint.url.replace(/\/+$/, '').replace(/\/v2$/, '')}/v2/images/${String(method.glance_image_id)}/file`, token: d.rt.sealer.seal(Buffer.from(token), sealContext(imageId)).toString('base64') };
}

/** The endpoint comes from the operator's catalogue and may be on a network of their own; but it is that endpoint only, and it may not send us elsewhere. */
export function openRemote({ settings, sealer }: Pick<ImageTaskDeps, 'settings' | 'sealer'>, imageId: string, remote: Remote): { url: string; headers: Record<string, string>; fetcher: Fetcher } {
  const url = new URL(remote.url);
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  const fetcher = openFetcher({ schemes: [url.protocol.slice(0, -1)], ports: [port], disallowedHosts: [], allowedNetworks: ['0.0.0.0/0', '::/0'], redirects: 0, idleTimeoutMs: settings.image.fetch.idleTimeoutSeconds * 1000 });
  return { url: remote.url, headers: { 'x-auth-token': sealer().open(Buffer.from(remote.token, 'base64'), sealContext(imageId)).toString() }, fetcher };
}
