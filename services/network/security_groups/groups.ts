import { duplicateOf, type Trx } from '@cumulet/db';
import { Conflict, newId, seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { bool, commonColumns, id, int, text, type Collection } from '../rest/collection.ts';
import { flag, name, owned, several, tag, uuid } from '../rest/shapes.ts';

export interface RuleRow {
  id: string; project_id: string; description: string | null; revision_number: number; created_at: Date; updated_at: Date; security_group_id: string; direction: string; ethertype: string; protocol: string | null;
  port_range_min: number | null; port_range_max: number | null; remote_ip_prefix: string | null; given_prefix: string | null; remote_group_id: string | null; remote_address_group_id: string | null; group_project?: string;
}
export interface GroupRow { id: string; project_id: string; name: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date; stateful: boolean; shared: boolean; rules: (Omit<RuleRow, 'created_at' | 'updated_at'> & { created_at: string; updated_at: string })[] }

export const ruleView = (r: Omit<RuleRow, 'created_at' | 'updated_at'> & { created_at: Date | string; updated_at: Date | string }) => ({
  id: r.id, tenant_id: r.project_id, security_group_id: r.security_group_id, ethertype: r.ethertype, direction: r.direction, protocol: r.protocol, port_range_min: r.port_range_min, port_range_max: r.port_range_max,
  remote_ip_prefix: r.given_prefix ?? r.remote_ip_prefix, remote_address_group_id: r.remote_address_group_id, normalized_cidr: r.remote_ip_prefix, remote_group_id: r.remote_group_id, description: r.description,
  created_at: seconds(new Date(r.created_at)), updated_at: seconds(new Date(r.updated_at)), revision_number: r.revision_number, project_id: r.project_id,
});

export const Groups: Collection<GroupRow> = {
  name: 'security_group', plural: 'security_groups', fault: 'Security group', absent: { text: id => `Security group ${id} does not exist`, kind: 'SecurityGroupNotFound' },
  select: (trx, project = '') => trx.from(trx.raw(`(select g.*, ${sharedWith('g.id')} as shared from security_groups g) as t`, [project])).select('t.*', trx.raw(`coalesce((select jsonb_agg(to_jsonb(r) order by r.created_at, r.id) from security_group_rules r where r.security_group_id = t.id), '[]') as rules`)),
  columns: { ...commonColumns, stateful: bool('t.stateful'), shared: bool('t.shared'), tags: { sql: 't.tags', kind: 'tags' } },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.shared', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared }),
  view: row => ({
    id: row.id, name: row.name, stateful: row.stateful, tenant_id: row.project_id, description: row.description, shared: row.shared, security_group_rules: row.rules.map(r => ({ ...ruleView(r), tags: [] })), tags: row.tags,
    created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number, project_id: row.project_id,
  }),
};
export const Rules: Collection<RuleRow> = {
  name: 'security_group_rule', plural: 'security_group_rules', fault: 'Security group rule', absent: { text: id => `Security group rule ${id} does not exist`, kind: 'SecurityGroupRuleNotFound' },
  select: trx => trx('security_group_rules as t').join('security_groups as g', 'g.id', 't.security_group_id').select('t.*', trx.raw('t.remote_ip_prefix::text as remote_ip_prefix'), 'g.project_id as group_project'),
  columns: {
    id: id('t.id'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), description: text('t.description'), revision_number: int('t.revision_number'), security_group_id: id('t.security_group_id'), direction: text('t.direction'), ethertype: text('t.ethertype'), protocol: text('t.protocol'),
    port_range_min: int('t.port_range_min'), port_range_max: int('t.port_range_max'), remote_ip_prefix: text('coalesce(t.given_prefix, t.remote_ip_prefix::text)'), normalized_cidr: text('t.remote_ip_prefix::text'), remote_group_id: id('t.remote_group_id'), remote_address_group_id: id('t.remote_address_group_id'),
  },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('g.project_id', ctx.caller.projectId ?? '')),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, 'security_group:project_id': row.group_project, 'security_group:tenant_id': row.group_project }),
  view: ruleView,
};

const settable = { name: name.optional(), description: name.optional(), stateful: flag.optional() };
const group = z.strictObject({ ...settable, ...owned, tags: z.array(tag).optional() });
export const CreateGroups = shape('SecurityGroupCreate', z.union([z.strictObject({ security_group: group }), z.strictObject({ security_groups: several('security_group', group) })]));
export const UpdateGroup = shape('SecurityGroupUpdate', z.strictObject({ security_group: z.strictObject(settable) }));
const number = z.preprocess(v => (typeof v === 'string' && /^\d+$/.test(v) ? Number(v) : v), z.int().nullable());
const rule = z.strictObject({
  ...owned, security_group_id: uuid, direction: z.enum(['ingress', 'egress']), ethertype: z.preprocess(v => (typeof v === 'string' ? ({ ipv4: 'IPv4', ipv6: 'IPv6' })[v.toLowerCase()] ?? v : v), z.enum(['IPv4', 'IPv6'])).optional(),
  protocol: z.preprocess(v => (typeof v === 'number' ? String(v) : typeof v === 'string' ? v.toLowerCase() : v), z.string().nullable()).optional(), port_range_min: number.optional(), port_range_max: number.optional(), remote_ip_prefix: z.string().max(255).nullable().optional(),
  remote_group_id: z.string().max(255).nullable().optional(), remote_address_group_id: z.string().max(255).nullable().optional(), description: z.string().max(255).nullable().optional(),
});
export type RuleCreate = z.output<typeof rule>;
export const CreateRules = shape('SecurityGroupRuleCreate', z.union([z.strictObject({ security_group_rule: rule }), z.strictObject({ security_group_rules: several('security_group_rule', rule) })]));

/** A group with the rules that every new group has: everything may leave. */
export async function insertGroup(trx: Trx, project: string, b: { name?: string | undefined; description?: string | undefined; stateful?: boolean | undefined; tags?: string[] | undefined }): Promise<string> {
  const groupId = newId();
  await trx('security_groups').insert({ id: groupId, project_id: project, name: b.name ?? '', description: b.description ?? '', stateful: b.stateful ?? true, tags: b.tags ?? [] });
  await trx('security_group_rules').insert(['IPv4', 'IPv6'].map(ethertype => ({ id: newId(), project_id: project, security_group_id: groupId, direction: 'egress', ethertype })));
  return groupId;
}

/** The project's group `default`, which is made when it is first needed: members of it may talk to each other. Races end in one group. */
export async function defaultGroup(trx: Trx, project: string): Promise<string> {
  const known: { id: string } | undefined = await trx('security_groups').where({ project_id: project, name: 'default' }).first('id');
  if (known) return known.id;
  try {
    return await trx.transaction(async inner => {
      const groupId = await insertGroup(inner, project, { name: 'default', description: 'Default security group' });
      await inner('security_group_rules').insert(['IPv4', 'IPv6'].map(ethertype => ({ id: newId(), project_id: project, security_group_id: groupId, direction: 'ingress', ethertype, remote_group_id: groupId })));
      return groupId;
    });
  } catch (error) {
    if (duplicateOf(error) === 'security_groups_default') return defaultGroup(trx, project);
    throw error;
  }
}
export const groupInUse = (groupId: string) => new Conflict(`Security Group ${groupId} in use.`, { kind: 'SecurityGroupInUse' });
