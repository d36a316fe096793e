import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { id, int, text, type Collection, type Column } from '../rest/collection.ts';
import { integer, several } from '../rest/shapes.ts';

export type Direction = 'egress' | 'ingress';
export type RuleType = 'bandwidth_limit' | 'dscp_marking' | 'minimum_bandwidth';
export interface RuleRow { id: string; qos_policy_id: string; type: RuleType; direction: Direction | null; max_kbps: number | null; max_burst_kbps: number | null; dscp_mark: number | null; min_kbps: number | null }
export interface RuleGiven { direction?: Direction | undefined; max_kbps?: number | undefined; max_burst_kbps?: number | undefined; dscp_mark?: number | undefined; min_kbps?: number | undefined }

export const largest = 2_147_483_647;
/** neutron's VALID_DSCP_MARKS: best effort, the classes, assured and expedited forwarding. */
export const dscpMarks: readonly number[] = [0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56];
const kbps = integer.pipe(z.int().min(0).max(largest));
const mark = integer.pipe(z.literal(dscpMarks as number[]));

export interface RuleKind {
  readonly type: RuleType;
  readonly required: Readonly<Record<string, z.ZodType>>;
  /** What a new rule has when nothing is said. */
  readonly defaults: Readonly<Record<string, { readonly schema: z.ZodType; readonly value: unknown }>>;
  readonly columns: Readonly<Record<string, Column>>;
}
const direction = (...of: Direction[]) => ({ direction: { schema: z.enum(of), value: 'egress' } });
/** The kinds that neutron's own extension `qos` has. Nothing here keeps a minimum: a policy that has such a rule is refused where it is to be used. */
export const kinds: readonly RuleKind[] = [
  { type: 'bandwidth_limit', required: { max_kbps: kbps }, defaults: { max_burst_kbps: { schema: kbps, value: 0 }, ...direction('egress', 'ingress') }, columns: { max_kbps: int('t.max_kbps'), max_burst_kbps: int('t.max_burst_kbps'), direction: text('t.direction') } },
  { type: 'dscp_marking', required: { dscp_mark: mark }, defaults: {}, columns: { dscp_mark: int('t.dscp_mark') } },
  { type: 'minimum_bandwidth', required: { min_kbps: kbps }, defaults: direction('egress'), columns: { min_kbps: int('t.min_kbps'), direction: text('t.direction') } },
];
/** What the Linux bridges keep, as neutron's driver of that name did. */
export const supported: ReadonlySet<RuleType> = new Set(['bandwidth_limit', 'dscp_marking']);

/** A rule's own attributes. */
export function ruleView(row: RuleRow): Record<string, unknown> {
  switch (row.type) {
    case 'bandwidth_limit': return { id: row.id, max_kbps: row.max_kbps, max_burst_kbps: row.max_burst_kbps, direction: row.direction };
    case 'dscp_marking': return { id: row.id, dscp_mark: row.dscp_mark };
    case 'minimum_bandwidth': return { id: row.id, min_kbps: row.min_kbps, direction: row.direction };
  }
}

/** Rules of one kind and one policy; of any policy without. They have no project of their own. */
export const rulesOf = (kind: RuleKind, policy: { id: string; project_id: string }): Collection<RuleRow> => ({
  name: `${kind.type}_rule`, plural: `${kind.type}_rules`, fault: 'QoS rule', absent: { kind: 'QosRuleNotFound', text: rule => `QoS rule ${rule} for policy ${policy.id} could not be found.` },
  select: trx => trx('qos_rules as t').where('t.qos_policy_id', policy.id).where('t.type', kind.type).select('t.*'),
  columns: { id: id('t.id'), ...kind.columns },
  // Who may read them is asked before.
  visible: () => undefined,
  target: () => parentTarget(policy),
  view: ruleView,
});
export const parentTarget = (policy: { project_id: string }): Record<string, unknown> => ({ 'ext_parent:project_id': policy.project_id, 'ext_parent:tenant_id': policy.project_id, project_id: policy.project_id, tenant_id: policy.project_id });

/** Bodies: under a policy, and by the rule's own path. */
export function bodiesOf(kind: RuleKind) {
  const words = kind.type.split('_').map(w => `${w[0]?.toUpperCase()}${w.slice(1)}`).join('');
  const changes = z.strictObject({ ...optional(kind.required), ...optional(Object.fromEntries(Object.entries(kind.defaults).map(([k, v]) => [k, v.schema]))) });
  const whole = z.strictObject({ ...kind.required, ...Object.fromEntries(Object.entries(kind.defaults).map(([k, v]) => [k, v.schema.default(v.value as never)])) });
  const [name, alias] = [`${kind.type}_rule`, `alias_${kind.type}_rule`];
  return {
    own: {
      name,
      create: shape(`Qos${words}RuleCreate`, z.union([z.strictObject({ [name]: whole }), z.strictObject({ [`${name}s`]: several(name, whole) })])),
      update: shape(`Qos${words}RuleUpdate`, z.strictObject({ [name]: changes })),
    },
    alias: { name: alias, update: shape(`QosAlias${words}RuleUpdate`, z.strictObject({ [alias]: changes })) },
  };
}
const optional = (members: Readonly<Record<string, z.ZodType>>) => Object.fromEntries(Object.entries(members).map(([k, v]) => [k, v.optional()]));
