import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { id, int, text, type Collection } from '../rest/collection.ts';
import { integer, several } from '../rest/shapes.ts';

export type Direction = 'egress' | 'ingress' | 'any';
export type RuleType = 'bandwidth_limit' | 'dscp_marking' | 'minimum_bandwidth' | 'packet_rate_limit' | 'minimum_packet_rate';
export interface RuleRow { id: string; qos_policy_id: string; type: RuleType; direction: Direction | null; max_kbps: number | null; max_burst_kbps: number | null; dscp_mark: number | null; min_kbps: number | null; max_kpps: number | null; max_burst_kpps: number | null; min_kpps: number | null }
/** What the checks look at of a body; each kind has some of it. */
export interface RuleGiven { direction?: Direction | undefined; max_kbps?: number | undefined; min_kbps?: number | undefined }

export const largest = 2_147_483_647;
/** neutron's VALID_DSCP_MARKS: best effort, the classes, assured and expedited forwarding. */
export const dscpMarks: readonly number[] = [0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56];
const amount = integer.pipe(z.int().min(0).max(largest));
const mark = integer.pipe(z.literal(dscpMarks as number[]));

export interface RuleKind {
  readonly type: RuleType;
  /** It has a path of its own, without its policy's. */
  readonly alias: boolean;
  readonly required: Readonly<Record<string, z.ZodType>>;
  /** What a new rule has when nothing is said. */
  readonly defaults: Readonly<Record<string, { readonly schema: z.ZodType; readonly value: unknown }>>;
}
const direction = (...of: Direction[]) => ({ direction: { schema: z.enum(of), value: 'egress' } });
const burst = { schema: amount, value: 0 };
/** All that neutron knows. Nothing here keeps a minimum or counts packets: a policy that has such a rule is refused where it is to be used. */
export const kinds: readonly RuleKind[] = [
  { type: 'bandwidth_limit', alias: true, required: { max_kbps: amount }, defaults: { max_burst_kbps: burst, ...direction('egress', 'ingress') } },
  { type: 'dscp_marking', alias: true, required: { dscp_mark: mark }, defaults: {} },
  { type: 'minimum_bandwidth', alias: true, required: { min_kbps: amount }, defaults: direction('egress', 'ingress') },
  { type: 'packet_rate_limit', alias: false, required: { max_kpps: amount }, defaults: { max_burst_kpps: burst, ...direction('egress', 'ingress') } },
  { type: 'minimum_packet_rate', alias: true, required: { min_kpps: amount }, defaults: direction('egress', 'ingress', 'any') },
];
/** What the Linux bridges keep, as neutron's driver of that name did. */
export const supported: ReadonlySet<RuleType> = new Set(['bandwidth_limit', 'dscp_marking']);

const attributesOf = (kind: RuleKind) => [...Object.keys(kind.required), ...Object.keys(kind.defaults)];
/** A rule's own attributes. */
export function ruleView(row: RuleRow): Record<string, unknown> {
  const kind = kinds.find(k => k.type === row.type) as RuleKind;
  return { id: row.id, ...Object.fromEntries(attributesOf(kind).map(a => [a, row[a as keyof RuleRow]])) };
}

/** Rules of one kind and one policy. They have no project of their own. */
export const rulesOf = (kind: RuleKind, policy: { id: string; project_id: string }): Collection<RuleRow> => ({
  name: `${kind.type}_rule`, plural: `${kind.type}_rules`, fault: 'QoS rule', absent: { kind: 'QosRuleNotFound', text: rule => `QoS rule ${rule} for policy ${policy.id} could not be found.` },
  select: trx => trx('qos_rules as t').where('t.qos_policy_id', policy.id).where('t.type', kind.type).select('t.*'),
  columns: { id: id('t.id'), ...Object.fromEntries(attributesOf(kind).map(a => [a, a === 'direction' ? text(`t.${a}`) : int(`t.${a}`)])) },
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
