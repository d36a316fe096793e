import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { bool, commonColumns, type Collection } from '../rest/collection.ts';
import { flag, named, owned } from '../rest/shapes.ts';
import { ruleView, type RuleRow } from './rules.ts';

export interface PolicyRow {
  id: string; project_id: string; name: string; description: string; tags: string[]; is_default: boolean; shared: boolean; rules: RuleRow[]; revision_number: number; created_at: Date; updated_at: Date;
}
export const Policies: Collection<PolicyRow> = {
  name: 'policy', plural: 'policies', fault: 'QoS policy', absent: { kind: 'QosPolicyNotFound' },
  select: (trx, project = '') => trx.from(trx.raw(`(select p.*, ${sharedWith('p.id')} as shared from qos_policies p) as t`, [project])).select('t.*', trx.raw(`coalesce((select jsonb_agg(to_jsonb(r) order by r.created_at, r.id) from qos_rules r where r.qos_policy_id = t.id), '[]') as rules`)),
  columns: { ...commonColumns, shared: bool('t.shared'), is_default: bool('t.is_default'), tags: { sql: 't.tags', kind: 'tags' } },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.shared', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared }),
  view: row => ({
    id: row.id, name: row.name, shared: row.shared, tenant_id: row.project_id, rules: row.rules.map(r => ({ ...ruleView(r), qos_policy_id: r.qos_policy_id, type: r.type })), is_default: row.is_default,
    description: row.description, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number, tags: row.tags, project_id: row.project_id,
  }),
};

const settable = { ...named, shared: flag.optional(), is_default: flag.optional() };
export const CreatePolicy = shape('QosPolicyCreate', z.strictObject({ policy: z.strictObject({ ...settable, ...owned }) }));
export const UpdatePolicy = shape('QosPolicyUpdate', z.strictObject({ policy: z.strictObject(settable) }));
