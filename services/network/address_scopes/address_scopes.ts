import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { bool, id, int, text, type Collection } from '../rest/collection.ts';
import { flag, integer, name, owned } from '../rest/shapes.ts';

export interface AddressScopeRow { id: string; project_id: string; name: string; ip_version: 4 | 6; shared: boolean }
export const AddressScopes: Collection<AddressScopeRow> = {
  name: 'address_scope', plural: 'address_scopes', fault: 'Address scope', absent: { kind: 'AddressScopeNotFound' },
  select: (trx, project = '') => trx.from(trx.raw(`(select s.*, ${sharedWith('s.id')} as shared from address_scopes s) as t`, [project])).select('t.*'),
  columns: { id: id('t.id'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), name: text('t.name'), ip_version: int('t.ip_version'), shared: bool('t.shared') },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.shared', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared }),
  view: row => ({ id: row.id, name: row.name, tenant_id: row.project_id, project_id: row.project_id, ip_version: row.ip_version, shared: row.shared }),
};
const settable = { name: name.optional(), shared: flag.optional() };
export const CreateAddressScope = shape('AddressScopeCreate', z.strictObject({ address_scope: z.strictObject({ ...settable, ...owned, ip_version: integer.pipe(z.literal([4, 6])) }) }));
export const UpdateAddressScope = shape('AddressScopeUpdate', z.strictObject({ address_scope: z.strictObject(settable) }));
