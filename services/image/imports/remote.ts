import { DriverError } from '@cumulet/drivers';
import { openFetcher, type Fetcher } from '@cumulet/fetch';
import type { Context } from '@cumulet/http';
import { endpointUrl } from '@cumulet/identity';
import type { Run } from '@cumulet/tasks';
import { bare, NotImplemented } from '@cumulet/wire';
import { json } from 'node:stream/consumers';
import { z } from 'zod';
import { containerFormats, diskFormats } from '../images/schemas.ts';
import type { ImageRow } from '../images/store.ts';
import type { ImageTaskDeps } from '../images/tasks.ts';
import type { ImageDeps } from '../opened.ts';
import type { ImportInput } from './input.ts';

type Remote = NonNullable<ImportInput['remote']>;
const sealContext = (imageId: string) => `image import ${imageId}`;
/** Which properties come along (glance: [glance_download_properties] extra_properties). */
const brought = ['hw_', 'trait:', 'os_distro', 'os_secure_boot', 'os_type'];

/** glance-download: which image, and the caller's token, sealed, to read it with. */
export function remoteImage(d: ImageDeps, ctx: Context, imageId: string, method: { readonly glance_image_id?: unknown; readonly glance_region?: unknown; readonly glance_service_interface?: unknown }): Remote {
  const token = ctx.request.headers['x-auth-token'];
  if (typeof token !== 'string') throw new NotImplemented('glance-download needs a token.');
  return { image: String(method.glance_image_id), region: bare(method.glance_region), interface: bare(method.glance_service_interface ?? 'public'), token: d.rt.sealer.seal(Buffer.from(token), sealContext(imageId)).toString('base64') };
}

const remoteFacts = z.object({ status: z.string(), disk_format: z.enum(diskFormats), container_format: z.enum(containerFormats) }).catchall(z.unknown());

/**
 * Finds the other region's image service in the catalogue and takes over its image's formats and some properties. That endpoint may be on a network of the operator's; but it
 * is that endpoint only, and it may not send us elsewhere.
 */
export async function openRemote(t: Run<ImportInput, unknown, ImageTaskDeps>, row: ImageRow, remote: Remote): Promise<{ url: string; headers: Record<string, string>; fetcher: Fetcher }> {
  const { settings, sealer, db } = t.deps;
  const endpoint = await endpointUrl(db, { type: 'image', region: remote.region, interface: remote.interface });
  if (endpoint === undefined) throw new DriverError('absent', `No image endpoint of region ${remote.region} and interface ${remote.interface} is in the catalog.`);
  const image = `${endpoint.replace(/\/+$/, '').replace(/\/v2$/, '')}/v2/images/${remote.image}`;
  const { protocol, port } = new URL(image);
  const fetcher = openFetcher({ schemes: [protocol.slice(0, -1)], ports: [port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)], disallowedHosts: [], allowedNetworks: ['0.0.0.0/0', '::/0'], redirects: 0, idleTimeoutMs: settings.image.fetch.idleTimeoutSeconds * 1000 });
  const headers = { 'x-auth-token': sealer().open(Buffer.from(remote.token, 'base64'), sealContext(row.id)).toString() };
  const facts = remoteFacts.safeParse(await json((await fetcher.get(image, { signal: t.signal, headers })).body));
  if (!facts.success || facts.data.status !== 'active') throw new DriverError('invalid', `Image ${remote.image} of region ${remote.region} is not active.`);
  const properties = Object.fromEntries(Object.entries(facts.data).filter(([k, v]) => typeof v === 'string' && brought.some(b => k.startsWith(b))));
  await t.transaction(trx => trx('images').where({ id: row.id }).update({ disk_format: facts.data.disk_format, container_format: facts.data.container_format, properties: trx.raw('properties || ?::jsonb', [JSON.stringify(properties)]) }));
  return { url: `${image}/file`, headers, fetcher };
}
