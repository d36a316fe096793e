import { duplicateOf, transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, Forbidden, isUuid, newId, NotFound } from '@cumulet/wire';
import type { z } from 'zod';
import { touched } from '../networks/networks.ts';
import { AnyQuery, fieldsOf, find, given, list, missing, pick, writtenViews } from '../rest/collection.ts';
import { applyQos } from '../wiring/enqueue.ts';
import { portsUnder, unsupportedByNetwork, unsupportedByPort } from './binding.ts';
import { Policies, type PolicyRow } from './policies.ts';
import { bodiesOf, kinds, parentTarget, ruleView, rulesOf, supported, type RuleGiven, type RuleKind, type RuleRow, type RuleType } from './rules.ts';

export const ruleRoutes = (rt: Runtime): Operation[] => kinds.flatMap(kind => routesOf(rt, kind));

function routesOf(rt: Runtime, kind: RuleKind): Operation[] {
  const { type } = kind;
  const path = `/qos/policies/:policy_id/${type}_rules`;
  const bodies = bodiesOf(kind);
  const says = type.replace('_', ' ');
  /** The policy of the path, as the caller sees it. */
  const ofPath = (trx: Trx, ctx: Context): Promise<PolicyRow> => find(trx, ctx, Policies, ctx.params['policy_id'] ?? '');
  /** Rules of a policy that is only shared are not theirs to read with whom it is (neutron's `ext_parent_owner`): lists are empty, and one is not found. */
  const mayRead = (ctx: Context, policy: PolicyRow): boolean => {
    try { ctx.permit(parentTarget(policy)); return true; } catch (error) { if (error instanceof Forbidden) return false; throw error; }
  };
  const read = async (ctx: Context, policy: PolicyRow, name: string) => {
    const ruleId = ctx.params['id'] ?? '';
    if (!mayRead(ctx, policy)) throw missing(rulesOf(kind, policy), ruleId);
    return { [name]: pick(ruleView(await find(rt.db, ctx, rulesOf(kind, policy), ruleId)), fieldsOf(ctx.query as z.output<typeof AnyQuery.newest>)) };
  };
  /** One that is not there belongs to nobody: who may not make rules hears that first (as upstream). */
  const writable = async (trx: Trx, ctx: Context): Promise<PolicyRow> => {
    const policy = await ofPath(trx, ctx).catch((error: unknown) => { if (error instanceof NotFound) ctx.permit({}); throw error; });
    ctx.permit(parentTarget(policy));
    return policy;
  };
  const ruleOf = (trx: Trx, ctx: Context, policy: { id: string; project_id: string }): Promise<RuleRow> => find(trx, ctx, rulesOf(kind, policy), ctx.params['id'] ?? '');
  /** The policy of a rule that is named by its own path. */
  const parentOf = async (trx: Trx, ctx: Context): Promise<PolicyRow> => {
    const ruleId = ctx.params['id'] ?? '';
    const row: { qos_policy_id: string } | undefined = isUuid(ruleId) ? await trx('qos_rules').where({ id: ruleId, type }).first('qos_policy_id') : undefined;
    if (!row) throw missing(rulesOf(kind, { id: '', project_id: '' }), ruleId);
    return find(trx, ctx, Policies, row.qos_policy_id);
  };
  const changed = async (trx: Trx, policyId: string) => {
    await trx('qos_policies').where({ id: policyId }).update(touched(trx));
    await applyQos(rt.tasks, trx, { policy: policyId });
  };
  const insert = (ctx: Context, rules: readonly RuleGiven[]) => transaction(rt.db, async trx => {
    const policy = await writable(trx, ctx);
    await locked(trx, policy.id);
    if (!supported.has(type)) await checkUnused(trx, policy.id, kind);
    const ids: string[] = [];
    for (const b of rules) {
      await checkAgainstOthers(trx, policy.id, type, b);
      await checkAny(trx, policy.id, type, b);
      const id = newId();
      ids.push(id);
      await write(trx, policy.id, type, b, inner => inner('qos_rules').insert({ id, qos_policy_id: policy.id, type, ...b }));
    }
    await changed(trx, policy.id);
    return writtenViews(trx, ctx, rulesOf(kind, policy), ids);
  });
  /** One rule of a policy is changed or goes, under the policy's lock. */
  const changing = <T>(ctx: Context, parent: (trx: Trx, ctx: Context) => Promise<PolicyRow>, change: (trx: Trx, policy: PolicyRow, row: RuleRow) => Promise<T>): Promise<T> => transaction(rt.db, async trx => {
    const policy = await parent(trx, ctx);
    ctx.permit(parentTarget(policy));
    await locked(trx, policy.id);
    const result = await change(trx, policy, await ruleOf(trx, ctx, policy));
    await changed(trx, policy.id);
    return result;
  });
  const update = (ctx: Context, parent: (trx: Trx, ctx: Context) => Promise<PolicyRow>, b: RuleGiven) => changing(ctx, parent, async (trx, policy, row) => {
    const columns = given(b);
    await checkAgainstOthers(trx, policy.id, type, { direction: row.direction ?? undefined, ...columns }, row.id);
    await checkAny(trx, policy.id, type, columns, row.id);
    if (Object.keys(columns).length > 0) await write(trx, policy.id, type, { direction: row.direction ?? undefined, ...columns }, inner => inner('qos_rules').where({ id: row.id }).update(columns));
    return (await writtenViews(trx, ctx, rulesOf(kind, policy), [row.id]))[0];
  });
  const remove = (ctx: Context, parent: (trx: Trx, ctx: Context) => Promise<PolicyRow>) => changing(ctx, parent, async (trx, _, row) => {
    await trx('qos_rules').where({ id: row.id }).delete();
    return new Reply(204);
  });
  return [
    operation({
      id: `${type}_rules.list`, summary: `List ${says} rules of a QoS policy`, method: 'GET', path, policy: `get_policy_${type}_rule`, permit: 'object', query: AnyQuery,
      handler: async ctx => {
        const policy = await ofPath(rt.db, ctx as Context);
        return mayRead(ctx as Context, policy) ? list(rt.db, ctx, rulesOf(kind, policy), rt.settings.http.maxLimit) : { [`${type}_rules`]: [] };
      },
    }),
    operation({
      id: `${type}_rules.show`, summary: `Show a ${says} rule`, method: 'GET', path: `${path}/:id`, policy: `get_policy_${type}_rule`, permit: 'object', query: AnyQuery,
      handler: async ctx => read(ctx as Context, await ofPath(rt.db, ctx as Context), bodies.own.name),
    }),
    operation({
      id: `${type}_rules.create`, summary: `Add a ${says} rule to a QoS policy`, method: 'POST', path, policy: `create_policy_${type}_rule`, permit: 'object', body: bodies.own.create, status: 201,
      handler: async ctx => {
        const { name } = bodies.own;
        const body = ctx.body as Readonly<Record<string, unknown>>;
        const several = body[`${name}s`] as RuleGiven[] | undefined;
        const views = await insert(ctx as Context, several ?? [body[name] as RuleGiven]);
        return several ? { [`${name}s`]: views } : { [name]: views[0] };
      },
    }),
    operation({
      id: `${type}_rules.update`, summary: `Change a ${says} rule`, method: 'PUT', path: `${path}/:id`, policy: `update_policy_${type}_rule`, permit: 'object', body: bodies.own.update,
      handler: async ctx => ({ [bodies.own.name]: await update(ctx as Context, ofPath, (ctx.body as Record<string, RuleGiven>)[bodies.own.name] as RuleGiven) }),
    }),
    operation({
      id: `${type}_rules.delete`, summary: `Remove a ${says} rule`, method: 'DELETE', path: `${path}/:id`, policy: `delete_policy_${type}_rule`, permit: 'object', status: 204,
      handler: ctx => remove(ctx as Context, ofPath),
    }),
    ...(kind.alias ? [operation({
      id: `alias_${type}_rules.show`, summary: `Show a ${says} rule, whatever its policy`, method: 'GET', path: `/qos/alias_${type}_rules/:id`, policy: `get_alias_${type}_rule`, permit: 'object', query: AnyQuery,
      handler: async ctx => read(ctx as Context, await parentOf(rt.db, ctx as Context), bodies.alias.name),
    }),
    operation({
      id: `alias_${type}_rules.update`, summary: `Change a ${says} rule, whatever its policy`, method: 'PUT', path: `/qos/alias_${type}_rules/:id`, policy: `update_alias_${type}_rule`, permit: 'object', body: bodies.alias.update,
      handler: async ctx => ({ [bodies.alias.name]: await update(ctx as Context, parentOf, (ctx.body as Record<string, RuleGiven>)[bodies.alias.name] as RuleGiven) }),
    }),
    operation({
      id: `alias_${type}_rules.delete`, summary: `Remove a ${says} rule, whatever its policy`, method: 'DELETE', path: `/qos/alias_${type}_rules/:id`, policy: `delete_alias_${type}_rule`, permit: 'object', status: 204,
      handler: ctx => remove(ctx as Context, parentOf),
    })] : []),
  ];
}

/** One change of a policy's rules at a time, and none while somebody takes it into use; it may have gone meanwhile. */
async function locked(trx: Trx, policyId: string): Promise<void> {
  if (!await trx('qos_policies').where({ id: policyId }).forUpdate().first('id')) throw missing(Policies, policyId);
}

/** One rule of a kind in each direction. */
async function write(trx: Trx, policyId: string, type: string, b: RuleGiven, query: (inner: Trx) => PromiseLike<unknown>): Promise<void> {
  await trx.transaction(async inner => { await query(inner); }).catch(async (error: unknown) => {
    if (duplicateOf(error) !== 'qos_rules_same') throw error;
    const same: { id: string } | undefined = await trx('qos_rules').where({ qos_policy_id: policyId, type }).whereRaw('direction is not distinct from ?', [b.direction ?? null]).first('id');
    throw new Conflict(`Rule ${type} conflicts with rule ${same?.id} which already exists in QoS Policy ${policyId}.`, { kind: 'QoSRulesConflict' });
  });
}

/** A minimum above the maximum of the same direction, or the other way round. */
async function checkAgainstOthers(trx: Trx, policyId: string, type: RuleType, b: RuleGiven, except?: string): Promise<void> {
  if (b.direction === undefined) return;
  const others: RuleRow[] = await trx('qos_rules').where({ qos_policy_id: policyId, direction: b.direction }).whereNot({ type });
  for (const other of others.filter(o => o.id !== except)) {
    const [value, existing] = b.max_kbps !== undefined ? [b.max_kbps, other.min_kbps] : [b.min_kbps, other.max_kbps];
    if (value === undefined || existing === null || (b.max_kbps !== undefined ? existing <= value : existing >= value)) continue;
    throw conflicting(value, policyId, other.type, existing);
  }
}

/** A packet rate is for both directions together, or for each. */
async function checkAny(trx: Trx, policyId: string, type: RuleType, b: RuleGiven, except?: string): Promise<void> {
  if (type !== 'minimum_packet_rate' || b.direction === undefined) return;
  const others: RuleRow[] = await trx('qos_rules').where({ qos_policy_id: policyId, type });
  const other = others.find(o => o.id !== except && (o.direction === 'any') !== (b.direction === 'any'));
  if (other) throw conflicting(b.direction, policyId, type, other.direction);
}
const conflicting = (value: unknown, policyId: string, existing: RuleType, has: unknown) => new Conflict(`Unable to add the rule with value ${String(value)} to the policy ${policyId} as the existing rule of type ${existing} has value ${String(has)}.`, { kind: 'QoSRuleParameterConflict' });

/** A rule that no bridge keeps is for policies that nobody uses. */
async function checkUnused(trx: Trx, policyId: string, { type }: RuleKind): Promise<void> {
  const port = await portsUnder(trx, policyId).first('p.id') as { id: string } | undefined;
  if (port) throw unsupportedByPort(type, port.id);
  const network: { id: string } | undefined = await trx('networks').where({ qos_policy_id: policyId }).first('id');
  if (network) throw unsupportedByNetwork(type, network.id);
}
