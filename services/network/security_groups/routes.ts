import { brokenReference, duplicateOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId } from '@cumulet/wire';
import { AddressGroups } from '../address_groups/address_groups.ts';
import { touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { AnyQuery, fieldsOf, find, list, pick, shownMade, written, writtenView } from '../rest/collection.ts';
import { projectFor } from '../rest/policy.ts';
import { reading } from '../rest/reading.ts';
import { applySecurity } from '../wiring/enqueue.ts';
import { CreateGroups, CreateRules, defaultGroup, groupInUse, Groups, insertGroup, Rules, UpdateGroup, type RuleRow } from './groups.ts';
import { checkedRule } from './rules.ts';

export function securityGroupRoutes(rt: Runtime): Operation[] {
  const shown = async (ctx: Pick<Context, 'caller' | 'allows'>, id: string) => ({ security_group: await writtenView(rt.db, ctx, Groups, id) });
  return [
    operation({
      id: 'security_groups.list', summary: 'List security groups', method: 'GET', path: '/security-groups', policy: { anyone: 'rows are filtered by what the caller may see' }, query: AnyQuery,
      // As upstream: a project has its default group from the moment it looks.
      handler: async ctx => {
        const asked = [ctx.query['project_id'] ?? ctx.query['tenant_id']].flat()[0];
        const project = asked !== undefined && ctx.allows('context_is_admin') ? asked : ctx.caller.projectId;
        if (project) await transaction(rt.db, trx => defaultGroup(trx, project));
        return list(rt.db, ctx, Groups, rt.settings.http.maxLimit);
      },
    }),
    operation({
      id: 'security_groups.show', summary: 'Show a security group', method: 'GET', path: '/security-groups/:id', policy: { anyone: 'hidden groups are not found' }, query: AnyQuery,
      handler: async ctx => ({ security_group: pick(Groups.view(await find(rt.db, ctx as Context, Groups, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) }),
    }),
    operation({
      id: 'security_groups.create', summary: 'Create a security group', method: 'POST', path: '/security-groups', policy: 'create_security_group', permit: 'object', body: CreateGroups, status: 201,
      handler: async ctx => {
        const bodies = 'security_groups' in ctx.body ? ctx.body.security_groups : [ctx.body.security_group];
        const rows = await transaction(rt.db, async trx => {
          const ids: string[] = [];
          for (const b of bodies) {
            const project = projectFor(ctx, b);
            ctx.permit({ project_id: project, tenant_id: project });
            await defaultGroup(trx, project);
            if (b.name === 'default') throw new Conflict('Default security group already exists.', { kind: 'SecurityGroupDefaultAlreadyExists' });
            ids.push(await insertGroup(trx, project, b));
            await checkQuota(trx, project, ['security_group', 'security_group_rule']);
          }
          return written(trx, ctx, Groups, ids);
        });
        return shownMade(ctx, Groups, rows);
      },
    }),
    operation({
      id: 'security_groups.update', summary: 'Update a security group', method: 'PUT', path: '/security-groups/:id', policy: 'update_security_group', permit: 'object', body: UpdateGroup,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Groups, ctx.params['id'] ?? '');
        ctx.permit(Groups.target(row));
        const { name, description, stateful } = ctx.body.security_group;
        if (row.name === 'default' && name !== undefined && name !== 'default') throw new Conflict('Updating default security group not allowed.', { kind: 'SecurityGroupCannotUpdateDefault' });
        if (name === 'default' && row.name !== 'default') throw new Conflict('Default security group already exists.', { kind: 'SecurityGroupDefaultAlreadyExists' });
        await transaction(rt.db, trx => trx('security_groups').where({ id: row.id }).update({ ...Object.fromEntries(Object.entries({ name, description, stateful }).filter(([, v]) => v !== undefined)), ...touched(trx) }));
        return shown(ctx, row.id);
      },
    }),
    operation({
      id: 'security_groups.delete', summary: 'Delete a security group', method: 'DELETE', path: '/security-groups/:id', policy: 'delete_security_group', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Groups, ctx.params['id'] ?? '');
        ctx.permit(Groups.target(row));
        if (row.name === 'default' && !ctx.allows('context_is_admin')) throw new Conflict('Insufficient rights for removing default security group.', { kind: 'SecurityGroupCannotRemoveDefault' });
        await transaction(rt.db, async trx => {
          await applySecurity(rt.tasks, trx, [row.id]);
          await trx('security_groups').where({ id: row.id }).delete();
        }).catch((error: unknown) => { throw brokenReference(error) === undefined ? error : groupInUse(row.id); });
        return new Reply(204);
      },
    }),
    ...reading(rt, Rules, { path: '/security-group-rules', one: 'a security group rule', many: 'security group rules', hidden: 'rules' }),
    operation({
      id: 'security_group_rules.create', summary: 'Create security group rules', method: 'POST', path: '/security-group-rules', policy: 'create_security_group_rule', permit: 'object', body: CreateRules, status: 201,
      handler: async ctx => {
        const bodies = 'security_group_rules' in ctx.body ? ctx.body.security_group_rules : [ctx.body.security_group_rule];
        const rows: RuleRow[] = await transaction(rt.db, async trx => {
          const ids: string[] = [];
          for (const b of bodies) {
            const group = await find(trx, ctx as Context, Groups, b.security_group_id);
            ctx.permit({ project_id: group.project_id, tenant_id: group.project_id, 'security_group:project_id': group.project_id, 'security_group:tenant_id': group.project_id });
            const columns = await checkedRule(trx, b, {
              group: async remote => await find(trx, ctx as Context, Groups, remote) !== undefined, addressGroup: async remote => await find(trx, ctx as Context, AddressGroups, remote) !== undefined,
            });
            const id = newId();
            await trx('security_group_rules').insert({ id, project_id: group.project_id, security_group_id: group.id, ...columns }).catch((error: unknown) => {
              throw duplicateOf(error) === undefined ? error : new Conflict(`Security group rule already exists. Rule id is ${group.rules.find(r => r.direction === columns['direction'] && r.ethertype === columns['ethertype'] && r.protocol === columns['protocol'] && r.port_range_min === columns['port_range_min'] && r.remote_ip_prefix === columns['remote_ip_prefix'] && r.remote_group_id === columns['remote_group_id'] && r.remote_address_group_id === columns['remote_address_group_id'])?.id ?? ''}.`, { kind: 'SecurityGroupRuleExists' });
            });
            await checkQuota(trx, group.project_id, ['security_group_rule']);
            ids.push(id);
          }
          await trx('security_groups').whereIn('id', bodies.map(b => b.security_group_id)).update(touched(trx));
          await applySecurity(rt.tasks, trx, bodies.map(b => b.security_group_id));
          return written(trx, ctx, Rules, ids);
        });
        return shownMade(ctx, Rules, rows);
      },
    }),
    operation({
      id: 'security_group_rules.delete', summary: 'Delete a security group rule', method: 'DELETE', path: '/security-group-rules/:id', policy: 'delete_security_group_rule', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Rules, ctx.params['id'] ?? '');
        ctx.permit(Rules.target(row));
        await transaction(rt.db, async trx => {
          await trx('security_group_rules').where({ id: row.id }).delete();
          await trx('security_groups').where({ id: row.security_group_id }).update(touched(trx));
          await applySecurity(rt.tasks, trx, [row.security_group_id]);
        });
        return new Reply(204);
      },
    }),
  ];
}
