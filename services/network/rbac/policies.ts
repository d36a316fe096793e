import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { id, text, type Collection } from '../rest/collection.ts';
import { owned, uuid } from '../rest/shapes.ts';
import type { Action, ObjectType } from './access.ts';

export interface RbacRow { id: string; project_id: string; object_type: ObjectType; object_id: string; action: Action; target_project: string }
/** What neutron knows of each kind. */
export const actions: Readonly<Record<ObjectType, readonly Action[]>> = { network: ['access_as_shared', 'access_as_external'], subnetpool: ['access_as_shared'], address_scope: ['access_as_shared'], security_group: ['access_as_shared'], address_group: ['access_as_shared'], qos_policy: ['access_as_shared'] };
export const tables: Readonly<Record<ObjectType, string>> = { network: 'networks', subnetpool: 'subnetpools', address_scope: 'address_scopes', security_group: 'security_groups', address_group: 'address_groups', qos_policy: 'qos_policies' };

export const RbacPolicies: Collection<RbacRow> = {
  name: 'rbac_policy', plural: 'rbac_policies', fault: 'RBAC policy', absent: { text: id => `RBAC policy of type unknown with ID ${id} not found`, kind: 'RbacPolicyNotFound' },
  select: trx => trx('network_rbac_policies as t').select('t.*'),
  columns: {
    id: id('t.id'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), object_type: text('t.object_type'), object_id: id('t.object_id'), action: text('t.action'), target_tenant: text('t.target_project'), target_project: text('t.target_project'),
  },
  // A policy is its owner's; the one that it lets in does not see it.
  visible: (q, ctx) => void q.where('t.project_id', ctx.caller.projectId ?? ''),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, target_tenant: row.target_project, target_project: row.target_project }),
  // The newer name of target_tenant is taken, and not shown (as upstream).
  view: row => ({ id: row.id, project_id: row.project_id, tenant_id: row.project_id, target_tenant: row.target_project, action: row.action, object_id: row.object_id, object_type: row.object_type }),
};

const everybodyOrOne = z.string().regex(/^(\*|[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})$/i, `is no project id and not '*'`);
const target = { target_tenant: everybodyOrOne.optional(), target_project: everybodyOrOne.optional() };
const one = (b: { target_tenant?: string | undefined; target_project?: string | undefined }) => b.target_tenant !== undefined || b.target_project !== undefined;
export const CreateRbacPolicy = shape('RbacPolicyCreate', z.strictObject({ rbac_policy: z.strictObject({ ...owned, ...target, object_type: z.string().max(255), object_id: uuid, action: z.string().max(255) }).refine(one, 'needs target_tenant') }));
export const UpdateRbacPolicy = shape('RbacPolicyUpdate', z.strictObject({ rbac_policy: z.strictObject(target).refine(one, 'needs target_tenant') }));
