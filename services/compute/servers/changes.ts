import { before, within, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import * as f from './fields.ts';
import { deviceV2 } from './schemas.ts';

/** Views of a server that change together. */
const views = ['Server', 'ServerInDetail', 'ServerAfterUpdate', 'ServerAfterRebuild'];
const down = (at: Change['at'], why: string, lower: (server: never) => unknown, of = views): Change[] => of.map(shape => ({ at, shape, why, down: lower }));

const adminExtras = ['OS-EXT-SRV-ATTR:reservation_id', 'OS-EXT-SRV-ATTR:launch_index', 'OS-EXT-SRV-ATTR:hostname', 'OS-EXT-SRV-ATTR:kernel_id', 'OS-EXT-SRV-ATTR:ramdisk_id', 'OS-EXT-SRV-ATTR:root_device_name', 'OS-EXT-SRV-ATTR:user_data'];
/** What update and rebuild did not show before 2.75. */
const notAfterUpdate = [
  ...adminExtras, 'OS-EXT-AZ:availability_zone', 'OS-EXT-SRV-ATTR:host', 'OS-EXT-SRV-ATTR:instance_name', 'OS-EXT-SRV-ATTR:hypervisor_hostname', 'OS-EXT-STS:task_state', 'OS-EXT-STS:vm_state', 'OS-EXT-STS:power_state',
  'OS-SRV-USG:launched_at', 'OS-SRV-USG:terminated_at', 'os-extended-volumes:volumes_attached', 'security_groups', 'host_status', 'config_drive',
];

/** Addresses without the names of extensions. */
const plainAddresses = (s: Record<string, unknown>) => ({ ...s, addresses: Object.fromEntries(Object.entries((s['addresses'] ?? {}) as Record<string, { version: number; addr: string }[]>).map(([label, list]) => [label, list.map(({ version, addr }) => ({ version, addr }))])) });

const createMembers = (at: Change['at'], why: string, ...names: string[]): Change => ({ at, shape: 'ServerCreate', why, was: before(['server'], ...names) });
/** Device tags came and went: networks had them from 2.32 to 2.36, disks in 2.32 only, both again from 2.42. */
const networksOf = (change: (n: z.ZodObject) => z.ZodObject, list = true) => (newer: z.ZodType): z.ZodType => within(newer, ['server'], server => {
  const item = z.strictObject({ uuid: f.uuid.nullable().optional(), port: f.uuid.nullable().optional(), fixed_ip: z.union([z.ipv4(), z.ipv6()]).optional(), tag: f.deviceTag.optional() });
  return server.safeExtend({ networks: list ? z.union([z.array(change(item)), z.enum(['none', 'auto'])]) : z.array(change(item)).optional() });
});
const noTag = (n: z.ZodObject) => n.omit({ tag: true });
const disksOf = (change: (d: z.ZodObject) => z.ZodObject) => (newer: z.ZodType): z.ZodType => within(newer, ['server'], server => server.safeExtend({ block_device_mapping_v2: z.array(change(deviceV2)).optional() }));
const both = (...steps: ((newer: z.ZodType) => z.ZodType)[]) => (newer: z.ZodType): z.ZodType => steps.reduce((schema, step) => step(schema), newer);

export const changes: Change[] = [
  ...down('2.3', 'extended server attributes for administrators', without(...adminExtras)),
  ...down('2.3', 'volumes_attached says delete_on_termination', (s: { 'os-extended-volumes:volumes_attached'?: { id: string }[] }) => { for (const v of s['os-extended-volumes:volumes_attached'] ?? []) delete (v as Record<string, unknown>)['delete_on_termination']; return s; }),
  ...down('2.9', 'locked is shown', without('locked')),
  ...down('2.16', 'host_status for administrators', without('host_status')),
  ...down('2.19', 'servers have a description', without('description')),
  createMembers('2.19', 'servers have a description', 'description'),
  { at: '2.19', shape: 'ServerUpdate', why: 'servers have a description', was: before(['server'], 'description') },
  ...down('2.26', 'server tags', without('tags')),
  { at: '2.26', trait: 'tag filters', why: 'servers are listed by tags' },
  { at: '2.32', shape: 'ServerCreate', why: 'networks and disks have tags', was: both(networksOf(noTag, false), disksOf(d => d.omit({ tag: true, volume_type: true }))) },
  { at: '2.33', shape: 'ServerCreate', why: 'tags of disks are not understood until 2.42', was: disksOf(d => d.omit({ volume_type: true })) },
  { at: '2.37', shape: 'ServerCreate', why: 'networks must be given, auto and none are words for it, and their tags are not understood until 2.42', was: networksOf(n => n, false), up: (b: { server: Record<string, unknown> }) => ({ ...b, server: { ...b.server, ...(b.server['networks'] === undefined ? { networks: 'default' } : {}) } }) },
  { at: '2.42', shape: 'ServerCreate', why: 'networks and disks have tags again', was: both(networksOf(noTag), disksOf(d => d.omit({ tag: true, volume_type: true }))) },
  ...down('2.47', 'the flavor is embedded, as it was when the server was made', s => s),
  { at: '2.47', trait: 'embedded flavor', why: 'the flavor is embedded' },
  createMembers('2.52', 'tags at boot', 'tags'),
  { at: '2.57', shape: 'ServerCreate', why: 'files are no longer injected', was: newer => within(newer, ['server'], s => s.safeExtend({ personality: f.personality.optional() })) },
  ...down('2.63', 'trusted image certificates', without('trusted_image_certificates')),
  createMembers('2.63', 'trusted image certificates', 'trusted_image_certificates'),
  { at: '2.66', shape: 'ServerQuery', why: 'changes-before', was: before([], 'changes-before') },
  { at: '2.67', shape: 'ServerCreate', why: 'disks name the type of a new volume', was: disksOf(d => d.omit({ volume_type: true })) },
  ...down('2.71', 'the server group is shown', without('server_groups'), ['Server', 'ServerAfterUpdate', 'ServerAfterRebuild']),
  ...down('2.73', 'why a server is locked', without('locked_reason')),
  { at: '2.73', trait: 'locked filter', why: 'servers are listed by locked' },
  createMembers('2.74', 'administrators choose a host without going round the scheduler', 'host', 'hypervisor_hostname'),
  { at: '2.75', shape: 'ServerQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
  { at: '2.75', shape: 'ServerAfterUpdate', why: 'update answers with the whole server', down: s => plainAddresses(without(...notAfterUpdate, 'key_name')(s)) },
  { at: '2.75', shape: 'ServerAfterRebuild', why: 'rebuild answers with the whole server', down: s => plainAddresses(without(...notAfterUpdate)(s)) },
  { at: '2.54', shape: 'ServerAfterRebuild', why: 'another key pair at rebuild', down: without('key_name') },
  createMembers('2.90', 'the hostname may be chosen', 'hostname'),
  { at: '2.90', shape: 'ServerUpdate', why: 'the hostname may be changed', was: before(['server'], 'hostname') },
  { at: '2.90', trait: 'hostname for all', why: 'everyone sees the hostname' },
  { at: '2.94', shape: 'ServerCreate', why: 'the hostname may be a whole domain name', was: newer => within(newer, ['server'], s => s.safeExtend({ hostname: f.hostname.optional() })) },
  { at: '2.94', shape: 'ServerUpdate', why: 'the hostname may be a whole domain name', was: newer => within(newer, ['server'], s => s.safeExtend({ hostname: f.hostname.optional() })) },
  ...down('2.96', 'the zone that a server was asked to be in', without('pinned_availability_zone')),
  ...down('2.98', 'the image shows its properties', (s: { image?: unknown }) => { if (typeof s.image === 'object' && s.image !== null) delete (s.image as Record<string, unknown>)['properties']; return s; }),
  ...down('2.100', 'the scheduler hints are shown', without('scheduler_hints')),
  { at: '2.104', shape: 'ServerUpdate', why: 'a server may be pinned to its zone, and unpinned', was: before(['server'], 'pinned_availability_zone') },
];
