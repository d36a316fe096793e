import { limitsOf } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, before, Forbidden, shape, within, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { rebuildPlan } from '../plans/rebuild.ts';
import { defaults } from '../quotas/limits.ts';
import { needsOf, candidates, NoValidHost } from '../scheduler/claim.ts';
import { passing } from '../scheduler/filters.ts';
import { wishOf } from '../scheduler/wish.ts';
import type { ImageFacts } from '../neighbours.ts';
import { act } from '../servers/act.ts';
import { findImage, fits } from '../servers/disks.ts';
import { sealPassword } from '../servers/secrets.ts';
import * as f from '../servers/fields.ts';
import { newPassword } from '../servers/names.ts';
import { viewOf } from '../servers/routes.ts';
import { isVolumeBacked, rootDevice, type ServerRow } from '../servers/row.ts';
import { devicesOf, findFull } from '../servers/store.ts';
import { Rebuilt } from '../servers/schemas.ts';
import { whoOf } from '../who.ts';
import { path } from './power.ts';

const Rebuild = shape('Rebuild', z.strictObject({
  rebuild: z.strictObject({
    imageRef: f.uuid, name: f.name.optional(), adminPass: f.adminPass.optional(), metadata: f.metadata.optional(), preserve_ephemeral: f.boolean.optional(), 'OS-DCF:diskConfig': f.diskConfig.optional(), accessIPv4: f.ipv4.optional(), accessIPv6: f.ipv6.optional(),
    description: f.description.optional(), key_name: f.keyName.optional(), user_data: f.userData.optional(), trusted_image_certificates: f.trustedCerts.optional(), hostname: f.fqdn.optional(),
  }),
}));
export const changes: Change[] = [
  { at: '2.19', shape: 'Rebuild', why: 'servers have a description', was: before(['rebuild'], 'description') },
  { at: '2.54', shape: 'Rebuild', why: 'another key pair at rebuild', was: before(['rebuild'], 'key_name') },
  { at: '2.57', shape: 'Rebuild', why: 'new user data at rebuild; files are no longer injected', was: newer => within(before(['rebuild'], 'user_data')(newer), ['rebuild'], s => s.safeExtend({ personality: f.personality.optional() })) },
  { at: '2.63', shape: 'Rebuild', why: 'trusted image certificates', was: before(['rebuild'], 'trusted_image_certificates') },
  { at: '2.90', shape: 'Rebuild', why: 'the hostname may be changed', was: before(['rebuild'], 'hostname') },
  { at: '2.94', shape: 'Rebuild', why: 'the hostname may be a whole domain name', was: newer => within(newer, ['rebuild'], s => s.safeExtend({ hostname: f.hostname.optional() })) },
  { at: '2.93', trait: 'rebuild of volume-backed servers', why: 'volume-backed servers are rebuilt with another image' },
  { at: '2.57', trait: 'user data after rebuild', why: 'the user data is shown after a rebuild' },
];

export const routes = (c: Compute): Operation[] => {
  return [
    operation({
      id: 'servers.rebuild', summary: 'Give a server a fresh root disk', method: 'POST', path, action: 'rebuild', policy: 'os_compute_api:servers:rebuild', permit: 'object', body: Rebuild, reply: Rebuilt,
      handler: async ctx => {
        const b = ctx.body.rebuild as z.output<typeof Rebuild.newest>['rebuild'] & { personality?: { path: string; contents: string }[] };
        const password = b.adminPass ?? newPassword();
        const id = await act(c, ctx as never, {
          action: 'rebuild', history: 'rebuild', plan: rebuildPlan, taskState: 'rebuilding',
          prepare: async (trx, row) => ({ input: { serverId: row.id, stopped: row.vm_state === 'stopped', ...await reimaged(c, ctx as never, trx, row, b.imageRef), ...(row.config_drive ? { password: sealPassword(c.rt.sealer, row.id, password) } : {}) }, reply: row.id, set: await rebuilt(c, ctx as never, trx, row, b) }),
        }) as unknown as string;
        const row = await findFull(c.rt.db, id);
        const { 'OS-EXT-SRV-ATTR:user_data': _, ...shown } = await viewOf(c, ctx, row);
        return new Reply(202, { server: { ...shown, adminPass: password, ...(ctx.dialect.has('user data after rebuild') ? { user_data: row.user_data } : {}) } }, { location: `${ctx.baseUrl}/v2.1/servers/${id}` });
      },
    }),
  ];
};

/** From 2.93 on the root volume of a server gets the image, also the one that it was made from. */
async function reimaged(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, imageRef: string) {
  const root = rootDevice(await devicesOf(trx, row.id));
  if (root?.destination_type !== 'volume' || root.volume_id === null || !ctx.dialect.has('rebuild of volume-backed servers')) return {};
  const image = await findImage(c, trx, whoOf(ctx), imageRef);
  const volume = await c.n.volumes.find(trx, { projectId: undefined, userId: ctx.caller.userId, admin: true }, root.volume_id);
  const needs = Math.max(image.min_disk, Math.ceil((image.virtual_size ?? image.size ?? 0) / 2 ** 30));
  if (needs > volume.size) throw new BadRequest(`Volume is smaller than the minimum size specified in image metadata. Volume size is ${volume.size * 2 ** 30} bytes, minimum size is ${needs * 2 ** 30} bytes.`);
  const facts = { image_id: image.id, image_name: image.name ?? '', container_format: image.container_format ?? '', disk_format: image.disk_format ?? '', checksum: image.checksum ?? '', size: String(image.size ?? 0), min_disk: String(image.min_disk), min_ram: String(image.min_ram) };
  return { reimage: { volumeId: volume.id, imageId: image.id, metadata: { ...facts, ...image.properties } } };
}

/** Another image may ask what the host does not have, or may not run: the filters are asked as at a boot, about this host alone and without a second share of it (CVE-2017-16239, CVE-2017-17051). */
async function stillFits(c: Compute, trx: Knex.Transaction, row: ServerRow, image: ImageFacts): Promise<void> {
  if (row.host === null) return;
  const s = c.rt.settings.compute.scheduler;
  const wish = await wishOf(trx, { ...row, image: { ...row.image, properties: image.properties }, image_id: image.id }, row.flavor);
  try { passing(await candidates(trx, s, needsOf(row.flavor.extra_specs, image.properties)), { ...wish, vcpus: 0, memory_mb: 0, disk_gb: 0, resources: {}, group: undefined, host: row.host }, s); } catch (error) { throw error instanceof NoValidHost ? new BadRequest(error.message) : error; }
}

async function rebuilt(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, b: z.output<typeof Rebuild.newest>['rebuild'] & { personality?: { path: string; contents: string }[] }): Promise<Record<string, unknown>> {
  const image = await findImage(c, trx, whoOf(ctx), b.imageRef);
  const backed = isVolumeBacked(await devicesOf(trx, row.id));
  if (backed && image.id !== row.image.id && !ctx.dialect.has('rebuild of volume-backed servers')) throw new BadRequest('Unable to rebuild with a different image for a volume-backed server.');
  if (b.trusted_image_certificates !== undefined) ctx.require('os_compute_api:servers:rebuild:trusted_certs');
  fits(image, { memory_mb: row.flavor.memory_mb, root_gb: backed ? 0 : row.flavor.root_gb });
  if (image.id !== row.image.id) await stillFits(c, trx, row, image);
  const limits = await limitsOf(trx, 'compute', row.project_id, defaults);
  if ((limits['metadata_items'] ?? -1) >= 0 && Object.keys(b.metadata ?? {}).length > (limits['metadata_items'] ?? -1)) throw new Forbidden(`Maximum number of metadata items exceeds ${limits['metadata_items']}`);
  if (b.user_data != null && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(b.user_data)) throw new BadRequest('User data needs to be valid base 64.');
  let key: Record<string, unknown> = {};
  if (b.key_name === null) key = { key_name: null, key_data: null, key_type: null };
  else if (b.key_name !== undefined) {
    const found = await trx('keypairs').where({ user_id: ctx.caller.userId, name: b.key_name }).first('public_key', 'type') as { public_key: string; type: string } | undefined;
    if (!found) throw new BadRequest('Invalid key_name provided.');
    key = { key_name: b.key_name, key_data: found.public_key, key_type: found.type };
  }
  return {
    ...key, image_id: backed ? null : image.id, system: JSON.stringify({ ...row.system, base_image: undefined }),
    image: JSON.stringify({ id: image.id, name: image.name, disk_format: image.disk_format, container_format: image.container_format, checksum: image.checksum, size: image.size, min_disk: image.min_disk, min_ram: image.min_ram, properties: image.properties }),
    ...(b.name === undefined ? {} : { name: b.name }), ...(b.metadata === undefined ? {} : { metadata: JSON.stringify(b.metadata) }), ...(b.description === undefined ? {} : { description: b.description }), ...(b.accessIPv4 === undefined ? {} : { access_ip_v4: b.accessIPv4 }), ...(b.accessIPv6 === undefined ? {} : { access_ip_v6: b.accessIPv6 }),
    ...(b.user_data === undefined ? {} : { user_data: b.user_data }), ...(b.hostname === undefined ? {} : { hostname: b.hostname }), ...(b['OS-DCF:diskConfig'] === undefined ? {} : { disk_config: b['OS-DCF:diskConfig'] }), ...(b.trusted_image_certificates === undefined ? {} : { trusted_certs: b.trusted_image_certificates === null ? null : JSON.stringify(b.trusted_image_certificates) }),
    ...(b.personality === undefined ? {} : { personality: JSON.stringify(b.personality) }), password: null,
  };
}
