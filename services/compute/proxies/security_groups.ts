import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { groupsForCompute } from '@cumulet/network';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { ruleView, type Rule } from '../details/more.ts';
import { whoOf } from '../who.ts';

const until = '2.35';
const text = z.string().max(255);
const Write = (id: string) => shape(id, z.strictObject({ security_group: z.looseObject({ name: z.string().optional(), description: z.string().nullable().optional() }) }));
const port = z.union([z.int(), z.string().regex(/^-?\d+$/)]).nullable();
const AddRule = shape('SecurityGroupRuleCreateOld', z.strictObject({ security_group_rule: z.looseObject({ parent_group_id: z.union([text, z.int()]).optional(), ip_protocol: text.nullable().optional(), from_port: port.optional(), to_port: port.optional(), cidr: text.nullable().optional(), group_id: text.nullable().optional() }) }));
interface Group { id: string; name: string; description: string; project_id: string }

/** Security groups as nova-network named them: the network service's own rows, of which only what comes in is shown. */
export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const network = () => groupsForCompute({ tasks: c.rt.tasks });
  const rules = (trx: Trx, groups: readonly string[]): Promise<Rule[]> => trx('security_group_rules as r').leftJoin('security_groups as g', 'g.id', 'r.remote_group_id').whereIn('r.security_group_id', [...groups]).where('r.direction', 'ingress').orderBy('r.created_at').select('r.*', 'g.name as remote_name') as never;
  const view = async (trx: Trx, groups: readonly Group[]) => {
    const of = await rules(trx, groups.map(g => g.id));
    return groups.map(g => ({ id: g.id, description: g.description, name: g.name, tenant_id: g.project_id, rules: of.filter(r => r.security_group_id === g.id).map(ruleView) }));
  };
  const find = async (trx: Trx, ctx: Context, id: string): Promise<Group> => {
    const known = /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(id);
    if (!known && !/^[0-9a-f-]{1,64}$/i.test(id) && id !== '') throw new BadRequest('Security group id should be uuid');
    const row = known ? await trx('security_groups').where({ id, ...(whoOf(ctx).admin ? {} : { project_id: ctx.caller.projectId ?? '' }) }).first('id', 'name', 'description', 'project_id') as Group | undefined : undefined;
    if (!row && !known) throw new BadRequest('Security group id should be uuid');
    if (!row) throw new NotFound(`Security group ${id} does not exist`);
    return row;
  };
  const checked = (b: { name?: string | undefined; description?: string | null | undefined }) => {
    for (const [field, value] of [['name', b.name], ['description', b.description]] as const) {
      if (typeof value !== 'string') throw new BadRequest(`Security group ${field} is not a string or unicode`);
      if (value.length > 255) throw new BadRequest(`Security group ${field} should not be greater than 255 characters.`);
    }
    if ((b.name ?? '').trim() === '') throw new BadRequest('Security group name cannot be empty.');
    return { name: b.name as string, description: b.description as string };
  };
  return [
    operation({
      id: 'security_groups.list', summary: 'Security groups (older name)', method: 'GET', path: '/os-security-groups', until, policy: 'os_compute_api:os-security-groups:get',
      handler: async ctx => {
        const q = new URLSearchParams(ctx.search);
        const everyone = q.get('all_tenants');
        const query = db('security_groups').orderBy('name').select('id', 'name', 'description', 'project_id').limit(Math.min(Number(q.get('limit') ?? c.rt.settings.http.maxLimit) || c.rt.settings.http.maxLimit, c.rt.settings.http.maxLimit)).offset(Number(q.get('offset') ?? 0) || 0);
        if (!(everyone !== null && everyone !== '0' && whoOf(ctx as never).admin)) query.where({ project_id: ctx.caller.projectId ?? '' });
        return { security_groups: await view(db, await query as Group[]) };
      },
    }),
    operation({ id: 'security_groups.show', summary: 'A security group (older name)', method: 'GET', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:show', handler: async ctx => ({ security_group: (await view(db, [await find(db, ctx as never, ctx.params['id'] ?? '')]))[0] }) }),
    operation({
      id: 'security_groups.create', summary: 'A new security group (older name)', method: 'POST', path: '/os-security-groups', until, policy: 'os_compute_api:os-security-groups:create', body: Write('SecurityGroupCreateOld'),
      handler: ctx => transaction(db, async trx => {
        const id = await network().create(trx, ctx.caller.projectId ?? '', checked(ctx.body.security_group));
        return { security_group: (await view(trx, [await find(trx, ctx as never, id)]))[0] };
      }),
    }),
    operation({
      id: 'security_groups.update', summary: 'Change a security group (older name)', method: 'PUT', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:update', body: Write('SecurityGroupUpdateOld'),
      handler: ctx => transaction(db, async trx => {
        const g = await find(trx, ctx as never, ctx.params['id'] ?? '');
        if (g.name === 'default') throw new BadRequest('Unable to update system group \'default\'');
        await network().update(trx, g.id, checked({ name: ctx.body.security_group.name ?? g.name, description: ctx.body.security_group.description ?? g.description }));
        return { security_group: (await view(trx, [await find(trx, ctx as never, g.id)]))[0] };
      }),
    }),
    operation({
      id: 'security_groups.delete', summary: 'Delete a security group (older name)', method: 'DELETE', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:delete',
      handler: async ctx => {
        await transaction(db, async trx => {
          const g = await find(trx, ctx as never, ctx.params['id'] ?? '');
          if (g.name === 'default') throw new BadRequest('Unable to delete system group \'default\'');
          await network().remove(trx, g.id).catch((error: unknown) => { throw (error as { status?: number }).status === 409 ? new BadRequest((error as Error).message) : error; });
        });
        return new Reply(202);
      },
    }),
    operation({
      id: 'security_group_rules.create', summary: 'A new rule (older name)', method: 'POST', path: '/os-security-group-rules', until, policy: 'os_compute_api:os-security-groups:rule:create', body: AddRule,
      handler: ctx => transaction(db, async trx => {
        const b = ctx.body.security_group_rule;
        if (b.parent_group_id === undefined) throw new BadRequest('Security group id is required');
        const g = await find(trx, ctx as never, String(b.parent_group_id));
        const protocol = b.ip_protocol?.toLowerCase() ?? null;
        if (protocol !== null && !['tcp', 'udp', 'icmp', '-1'].includes(protocol)) throw new BadRequest(`Invalid IP protocol ${b.ip_protocol}.`);
        const number = (v: string | number | null | undefined) => (v === null || v === undefined || Number(v) === -1 ? null : Number(v));
        const [from, to] = [number(b.from_port), number(b.to_port)];
        if (protocol !== null && protocol !== 'icmp' && (b.from_port == null || b.to_port == null)) throw new BadRequest('Valid port range is required for the protocol.');
        if (protocol !== null && protocol !== 'icmp' && (Number(b.from_port) < 1 || Number(b.to_port) > 65_535 || Number(b.from_port) > Number(b.to_port))) throw new BadRequest(`Invalid port range ${b.from_port}:${b.to_port}. Valid TCP ports should be between 1-65535`);
        const id = await network().addRule(trx, g.project_id, {
          security_group_id: g.id, protocol: protocol === '-1' ? null : protocol, port_range_min: from, port_range_max: to, remote_ip_prefix: b.group_id ? null : b.cidr ?? '0.0.0.0/0', remote_group_id: b.group_id ?? null,
        }).catch((error: unknown) => { throw (error as { status?: number }).status === 409 ? new BadRequest((error as Error).message) : error; });
        return { security_group_rule: ruleView((await rules(trx, [g.id])).find(r => r.id === id) as Rule) };
      }),
    }),
    operation({
      id: 'security_group_rules.delete', summary: 'Delete a rule (older name)', method: 'DELETE', path: '/os-security-group-rules/:id', until, policy: 'os_compute_api:os-security-groups:rule:delete',
      handler: async ctx => {
        const id = ctx.params['id'] ?? '';
        if (!/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(id)) throw new BadRequest('Security group rule id should be uuid');
        await transaction(db, async trx => {
          const rule = await trx('security_group_rules').where({ id, ...(whoOf(ctx as never).admin ? {} : { project_id: ctx.caller.projectId ?? '' }) }).first('id', 'security_group_id') as { id: string; security_group_id: string } | undefined;
          if (!rule) throw new NotFound(`Security group rule ${id} does not exist`);
          await network().removeRule(trx, rule);
        });
        return new Reply(202);
      },
    }),
  ];
};
