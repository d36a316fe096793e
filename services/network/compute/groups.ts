import { brokenReference, duplicateOf, type Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import { Conflict, isUuid, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { associate, insertFloatingIp, releaseFloatingIp } from '../floating_ips/service.ts';
import { checkQuota } from '../quotas/quota.ts';
import { defaultGroup, groupInUse, insertGroup, type RuleCreate } from '../security_groups/groups.ts';
import { checkedRule } from '../security_groups/rules.ts';
import { applyRouter, applySecurity } from '../wiring/enqueue.ts';

export interface GroupFacts { readonly id: string; readonly name: string; readonly description: string; readonly project_id: string }
/** A rule for what comes in; the prefix as it was given. */
export interface RuleFacts {
  readonly id: string; readonly security_group_id: string; readonly protocol: string | null; readonly port_range_min: number | null; readonly port_range_max: number | null; readonly remote_ip_prefix: string | null; readonly remote_group_id: string | null;
  readonly remote_name: string | null; readonly remote_project: string | null;
}
/** `device_id` is the server that it leads to, `pool` the name of its network. */
export interface FloatingIpFacts { readonly id: string; readonly ip: string; readonly fixed_ip: string | null; readonly port_id: string | null; readonly device_id: string | null; readonly pool: string }
const ingress = (trx: Trx) => trx('security_group_rules as r').leftJoin('security_groups as g', 'g.id', 'r.remote_group_id').where('r.direction', 'ingress')
  .select('r.id', 'r.security_group_id', 'r.protocol', 'r.port_range_min', 'r.port_range_max', trx.raw('coalesce(r.given_prefix, r.remote_ip_prefix::text) as remote_ip_prefix'), 'r.remote_group_id', 'g.name as remote_name', 'g.project_id as remote_project');

/**
 * Security groups and floating IPs for compute's older names of them, in the caller's transaction. Whose a group or an address is, the caller has
 * looked up; the rules about names, protocols, quotas and use are the network service's own.
 */
export const groupsForCompute = ({ tasks }: { tasks: Tasks }) => ({
  /** Groups by name; `project` undefined: everybody's. */
  async groups(trx: Trx, o: { project?: string | undefined; ids?: readonly string[]; limit?: number; offset?: number }): Promise<GroupFacts[]> {
    const query = trx('security_groups').orderBy(['name', 'id']).select('id', 'name', 'description', 'project_id');
    if (o.project !== undefined) query.where({ project_id: o.project });
    if (o.ids) query.whereIn('id', o.ids.filter(isUuid));
    if (o.limit !== undefined) query.limit(o.limit);
    if (o.offset !== undefined) query.offset(o.offset);
    return query;
  },
  /** The project's default group exists from now on. */
  defaultOf: (trx: Trx, project: string): Promise<string> => defaultGroup(trx, project),
  rules: (trx: Trx, groupIds: readonly string[]): Promise<RuleFacts[]> => ingress(trx).whereIn('r.security_group_id', [...groupIds]).orderBy('r.created_at').orderBy('r.id') as never,
  /** A rule that a project made; `project` undefined: anybody's. */
  rule: async (trx: Trx, id: string, project: string | undefined): Promise<RuleFacts | undefined> => (isUuid(id) ? ingress(trx).where('r.id', id).where(q => { if (project !== undefined) q.where('r.project_id', project); }).first() as never : undefined),
  floatingIps: (trx: Trx, project: string): Promise<FloatingIpFacts[]> => trx('floating_ips as f').join('networks as n', 'n.id', 'f.floating_network_id').leftJoin('ports as p', 'p.id', 'f.port_id').where('f.project_id', project).orderBy('f.created_at')
    .select('f.id', trx.raw('host(f.floating_ip) as ip'), trx.raw('host(f.fixed_ip) as fixed_ip'), 'f.port_id', 'p.device_id', 'n.name as pool') as never,
  /** Names of external networks. */
  pools: async (trx: Trx): Promise<string[]> => (await trx('networks').where({ external: true }).orderBy('name').select('name') as { name: string }[]).map(n => n.name),
  async create(trx: Knex.Transaction, project: string, b: { name: string; description: string }): Promise<string> {
    await defaultGroup(trx, project);
    if (b.name === 'default') throw new Conflict('Default security group already exists.');
    const id = await insertGroup(trx, project, b);
    await checkQuota(trx, project, ['security_group', 'security_group_rule']);
    return id;
  },
  async update(trx: Knex.Transaction, id: string, b: { name: string; description: string }): Promise<void> {
    await trx('security_groups').where({ id }).update({ name: b.name, description: b.description, updated_at: trx.fn.now(), revision_number: trx.raw('revision_number + 1') });
  },
  async remove(trx: Knex.Transaction, id: string): Promise<void> {
    await applySecurity(tasks, trx, [id]);
    try { await trx('security_groups').where({ id }).delete(); } catch (error) { throw brokenReference(error) === undefined ? error : groupInUse(id); }
  },
  async addRule(trx: Knex.Transaction, project: string, b: Pick<RuleCreate, 'security_group_id' | 'protocol' | 'port_range_min' | 'port_range_max' | 'remote_ip_prefix' | 'remote_group_id'>): Promise<string> {
    const columns = await checkedRule(trx, { ...b, direction: 'ingress' }, { group: async remote => await trx('security_groups').where({ id: remote, project_id: project }).first('id') !== undefined, addressGroup: async () => false });
    const id = newId();
    try { await trx('security_group_rules').insert({ id, project_id: project, security_group_id: b.security_group_id, ...columns }); } catch (error) { throw duplicateOf(error) === undefined ? error : new Conflict('This rule already exists in the group.'); }
    await checkQuota(trx, project, ['security_group_rule']);
    await applySecurity(tasks, trx, [b.security_group_id]);
    return id;
  },
  async removeRule(trx: Knex.Transaction, rule: { id: string; security_group_id: string }): Promise<void> {
    await trx('security_group_rules').where({ id: rule.id }).delete();
    await applySecurity(tasks, trx, [rule.security_group_id]);
  },

  /** `pool`: name or id of an external network; without one the default. */
  async allocate(trx: Knex.Transaction, project: string, pool: string | undefined): Promise<string> {
    const network: { id: string } | undefined = await trx('networks').where({ external: true }).where(q => { if (pool !== undefined) q.whereRaw('(name = ? or id::text = ?)', [pool, pool]); }).orderBy('is_default', 'desc').first('id');
    if (!network) throw new NotFound('Floating IP pool not found.');
    return insertFloatingIp(trx, project, { floating_network_id: network.id });
  },
  async point(trx: Knex.Transaction, fipId: string, to: { portId: string; fixedIp?: string | undefined } | null): Promise<void> {
    const fip = await trx('floating_ips').where({ id: fipId }).first('id', 'project_id', trx.raw('host(floating_ip) as address'), 'floating_network_id', 'router_id', 'port_id') as { id: string; project_id: string; address: string; floating_network_id: string; router_id: string | null; port_id: string | null };
    for (const router of await associate(trx, fip, to)) await applyRouter(tasks, trx, router.id, router.host);
  },
  async free(trx: Knex.Transaction, fipId: string): Promise<void> {
    const fip = await trx('floating_ips').where({ id: fipId }).first('router_id', 'floating_port_id') as { router_id: string | null; floating_port_id: string } | undefined;
    if (!fip) return;
    const router = await releaseFloatingIp(trx, { id: fipId, ...fip });
    if (router) await applyRouter(tasks, trx, router.id, router.host);
  },
});
export type GroupsForCompute = ReturnType<typeof groupsForCompute>;
