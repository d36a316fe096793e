import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { bool, commonColumns, id, int, type Collection } from '../rest/collection.ts';
import { distinct, flag, integer, named, owned, tag, uuid } from '../rest/shapes.ts';

export interface SubnetPoolRow {
  id: string; project_id: string; name: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date; ip_version: 4 | 6; prefixes: string[]; min_prefixlen: number; max_prefixlen: number; default_prefixlen: number;
  default_quota: number | null; is_default: boolean; address_scope_id: string | null; shared: boolean;
}
export const SubnetPools: Collection<SubnetPoolRow> = {
  name: 'subnetpool', plural: 'subnetpools', fault: 'Subnet pool', absent: { kind: 'SubnetPoolNotFound' },
  select: (trx, project = '') => trx.from(trx.raw(`(select p.*, ${sharedWith('p.id')} as shared from subnetpools p) as t`, [project])).select('t.*', trx.raw('t.prefixes::text[] as prefixes')),
  columns: {
    ...commonColumns, ip_version: int('t.ip_version'), min_prefixlen: int('t.min_prefixlen'), max_prefixlen: int('t.max_prefixlen'), default_prefixlen: int('t.default_prefixlen'), default_quota: int('t.default_quota'), is_default: bool('t.is_default'), shared: bool('t.shared'),
    address_scope_id: id('t.address_scope_id'), tags: { sql: 't.tags', kind: 'tags' },
  },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.shared', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared }),
  view: row => ({
    id: row.id, name: row.name, tenant_id: row.project_id, prefixes: row.prefixes, default_quota: row.default_quota, ip_version: row.ip_version, default_prefixlen: String(row.default_prefixlen), min_prefixlen: String(row.min_prefixlen), max_prefixlen: String(row.max_prefixlen),
    is_default: row.is_default, shared: row.shared, address_scope_id: row.address_scope_id, description: row.description, tags: row.tags, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number, project_id: row.project_id,
  }),
};

const length = integer.pipe(z.int().min(0).max(128)).optional();
const prefixes = distinct(z.string().max(64), p => `Duplicate items in the list: ${p}`).max(1000);
const settable = {
  ...named, default_quota: integer.pipe(z.int().min(0).max(2_147_483_647)).optional(), default_prefixlen: length, min_prefixlen: length, max_prefixlen: length, is_default: flag.optional(), address_scope_id: uuid.nullable().optional(),
};
const named1 = z.string().max(255).regex(/\S/, 'must not be empty');
export const CreateSubnetPool = shape('SubnetPoolCreate', z.strictObject({ subnetpool: z.strictObject({ ...settable, ...owned, name: named1, prefixes, shared: flag.optional(), tags: z.array(tag).optional() }) }));
export const UpdateSubnetPool = shape('SubnetPoolUpdate', z.strictObject({ subnetpool: z.strictObject({ ...settable, name: named1.optional(), prefixes: prefixes.optional() }) }));
export const Prefixes = shape('SubnetPoolPrefixes', z.strictObject({ prefixes }));
export const Onboard = shape('SubnetPoolOnboard', z.strictObject({ network_id: uuid }));
