import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { GroupFacts, RuleFacts } from '@cumulet/network';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { groupViews, ruleView } from '../details/more.ts';
import { whoOf } from '../who.ts';

const until = '2.35';
const text = z.string().max(255);
const Write = (id: string) => shape(id, z.strictObject({ security_group: z.looseObject({ name: z.string().optional(), description: z.string().nullable().optional() }) }));
const port = z.union([z.int(), z.string().regex(/^-?\d+$/)]).nullable();
const AddRule = shape('SecurityGroupRuleCreateOld', z.strictObject({ security_group_rule: z.looseObject({ parent_group_id: z.union([text, z.int()]).optional(), ip_protocol: text.nullable().optional(), from_port: port.optional(), to_port: port.optional(), cidr: text.nullable().optional(), group_id: text.nullable().optional() }) }));
/** Numbers of a query that are none are as if they were not there, as upstream reads them here. */
const digits = (text: string | null): number | undefined => (text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined);

/** Security groups as nova-network named them: the network service's own rows, of which only what comes in is shown. */
export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const network = c.n.groups;
  const mine = (ctx: Context) => (whoOf(ctx).admin ? undefined : ctx.caller.projectId ?? '');
  const view = (trx: Trx, groups: readonly GroupFacts[]) => groupViews(c, trx, groups);
  const find = async (trx: Trx, ctx: Context, id: string): Promise<GroupFacts> => {
    const known = /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(id);
    if (!known && !/^[0-9a-f-]{1,64}$/i.test(id) && id !== '') throw new BadRequest('Security group id should be uuid');
    const [row] = known ? await network.groups(trx, { ids: [id], project: mine(ctx) }) : [];
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
        const project = everyone !== null && everyone !== '0' && whoOf(ctx as never).admin ? undefined : ctx.caller.projectId ?? '';
        if (project !== undefined) await transaction(db, trx => network.defaultOf(trx, project));
        return { security_groups: await view(db, await network.groups(db, { project, limit: Math.min(digits(q.get('limit')) ?? c.rt.settings.http.maxLimit, c.rt.settings.http.maxLimit), offset: digits(q.get('offset')) ?? 0 })) };
      },
    }),
    operation({ id: 'security_groups.show', summary: 'A security group (older name)', method: 'GET', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:show', handler: async ctx => ({ security_group: (await view(db, [await find(db, ctx as never, ctx.params['id'] ?? '')]))[0] }) }),
    operation({
      id: 'security_groups.create', summary: 'A new security group (older name)', method: 'POST', path: '/os-security-groups', until, policy: 'os_compute_api:os-security-groups:create', body: Write('SecurityGroupCreateOld'),
      handler: ctx => transaction(db, async trx => {
        const id = await network.create(trx, ctx.caller.projectId ?? '', checked(ctx.body.security_group));
        return { security_group: (await view(trx, [await find(trx, ctx as never, id)]))[0] };
      }),
    }),
    operation({
      id: 'security_groups.update', summary: 'Change a security group (older name)', method: 'PUT', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:update', body: Write('SecurityGroupUpdateOld'),
      handler: ctx => transaction(db, async trx => {
        const change = checked(ctx.body.security_group);
        const g = await find(trx, ctx as never, ctx.params['id'] ?? '');
        if (g.name === 'default') throw new BadRequest('Unable to update system group \'default\'');
        await network.update(trx, g.id, change);
        return { security_group: (await view(trx, [await find(trx, ctx as never, g.id)]))[0] };
      }),
    }),
    operation({
      id: 'security_groups.delete', summary: 'Delete a security group (older name)', method: 'DELETE', path: '/os-security-groups/:id', until, policy: 'os_compute_api:os-security-groups:delete',
      handler: async ctx => {
        await transaction(db, async trx => {
          const g = await find(trx, ctx as never, ctx.params['id'] ?? '');
          if (g.name === 'default') throw new BadRequest('Unable to delete system group \'default\'');
          await network.remove(trx, g.id).catch((error: unknown) => { throw (error as { status?: number }).status === 409 ? new BadRequest((error as Error).message) : error; });
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
        const id = await network.addRule(trx, g.project_id, {
          security_group_id: g.id, protocol: protocol === '-1' ? null : protocol, port_range_min: from, port_range_max: to, remote_ip_prefix: b.group_id ? null : b.cidr ?? '0.0.0.0/0', remote_group_id: b.group_id ?? null,
        }).catch((error: unknown) => { throw (error as { status?: number }).status === 409 ? new BadRequest((error as Error).message) : error; });
        return { security_group_rule: ruleView(await network.rule(trx, id, undefined) as RuleFacts) };
      }),
    }),
    operation({
      id: 'security_group_rules.delete', summary: 'Delete a rule (older name)', method: 'DELETE', path: '/os-security-group-rules/:id', until, policy: 'os_compute_api:os-security-groups:rule:delete',
      handler: async ctx => {
        const id = ctx.params['id'] ?? '';
        if (!/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(id)) throw new BadRequest('Security group rule id should be uuid');
        await transaction(db, async trx => {
          const rule = await network.rule(trx, id, mine(ctx as never));
          if (!rule) throw new NotFound(`Security group rule ${id} does not exist`);
          await network.removeRule(trx, rule);
        });
        return new Reply(202);
      },
    }),
  ];
};
