import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { bool, id, int, text, type Collection } from '../rest/collection.ts';
import { cidr, distinct, named, owned, several } from '../rest/shapes.ts';

export interface AddressGroupRow { id: string; project_id: string; name: string; description: string; prefixes: string[]; shared: boolean; revision_number: number; created_at: Date; updated_at: Date }
export const AddressGroups: Collection<AddressGroupRow> = {
  name: 'address_group', plural: 'address_groups', fault: 'Address group', absent: { kind: 'AddressGroupNotFound' },
  select: (trx, project = '') => trx.from(trx.raw(`(select g.*, ${sharedWith('g.id')} as shared from address_groups g) as t`, [project])).select('t.*', trx.raw('array(select a::text from unnest(t.addresses) a order by a) as prefixes')),
  columns: { id: id('t.id'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), name: text('t.name'), description: text('t.description'), shared: bool('t.shared'), revision_number: int('t.revision_number') },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.shared', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared }),
  // Whether it is shared is not shown (as upstream).
  view: row => ({
    id: row.id, name: row.name, description: row.description, addresses: row.prefixes, project_id: row.project_id, tenant_id: row.project_id,
    created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number,
  }),
};

const group = z.strictObject({ ...named, ...owned, addresses: distinct(cidr, a => `Duplicate items in the list: ${a}`).nullable().optional() });
export const CreateAddressGroups = shape('AddressGroupCreate', z.union([z.strictObject({ address_group: group }), z.strictObject({ address_groups: several('address_group', group) })]));
export const UpdateAddressGroup = shape('AddressGroupUpdate', z.strictObject({ address_group: z.strictObject(named) }));
/** Unlike at creation, an address without a length is taken: it is the whole length (as upstream). */
export const AddressesBody = shape('AddressGroupAddresses', z.strictObject({ addresses: z.array(z.string().max(64)) }));
