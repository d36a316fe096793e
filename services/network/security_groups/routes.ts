import { duplicateOf, transaction } from '@cumulet/db';
import type { Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId } from '@cumulet/wire';
import { AddressGroups } from '../address_groups/address_groups.ts';
import { touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { find, given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { projectFor } from '../rest/policy.ts';
import { applySecurity } from '../wiring/enqueue.ts';
import { CreateGroups, CreateRules, defaultGroup, groupInUse, Groups, insertGroup, Rules, UpdateGroup } from './groups.ts';
import { checkedRule } from './rules.ts';

const defaultExists = () => new Conflict('Default security group already exists.', { kind: 'SecurityGroupDefaultAlreadyExists' });

export function securityGroupRoutes(rt: Runtime): Operation[] {
  const groups = operationsOf(rt, Groups, { path: '/security-groups', one: 'a security group', many: 'security groups' });
  const rules = operationsOf(rt, Rules, { path: '/security-group-rules', one: 'a security group rule', many: 'security group rules' });
  return [
    // As upstream: a project has its default group from the moment it looks.
    ...groups.reading(async ctx => {
      const asked = [ctx.query['project_id'] ?? ctx.query['tenant_id']].flat()[0];
      const project = asked !== undefined && ctx.allows('context_is_admin') ? asked : ctx.caller.projectId;
      if (project) await transaction(rt.db, trx => defaultGroup(trx, project));
    }),
    groups.creating(CreateGroups, {
      given: body => ('security_groups' in body ? body.security_groups : [body.security_group]),
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        ctx.permit({ project_id: project, tenant_id: project });
        await defaultGroup(trx, project);
        if (b.name === 'default') throw defaultExists();
        const id = await insertGroup(trx, project, b);
        await checkQuota(trx, project, ['security_group', 'security_group_rule']);
        return id;
      },
    }),
    groups.updating(UpdateGroup, {
      async change(trx, _, row, { security_group: { name, description, stateful } }) {
        if (row.name === 'default' && name !== undefined && name !== 'default') throw new Conflict('Updating default security group not allowed.', { kind: 'SecurityGroupCannotUpdateDefault' });
        if (name === 'default' && row.name !== 'default') throw defaultExists();
        await trx('security_groups').where({ id: row.id }).update({ ...given({ name, description, stateful }), ...touched(trx) });
      },
    }),
    groups.deleting({
      permit(ctx, row) {
        ctx.permit(Groups.target(row));
        if (row.name === 'default' && !ctx.allows('context_is_admin')) throw new Conflict('Insufficient rights for removing default security group.', { kind: 'SecurityGroupCannotRemoveDefault' });
      },
      async remove(trx, { id }) {
        await applySecurity(rt.tasks, trx, [id]);
        await trx('security_groups').where({ id }).delete();
      },
      inUse: ({ id }) => groupInUse(id),
    }),
    ...rules.reading(),
    rules.creating(CreateRules, {
      given: body => ('security_group_rules' in body ? body.security_group_rules : [body.security_group_rule]),
      async insert(trx, ctx, b) {
        const group = await find(trx, ctx, Groups, b.security_group_id);
        ctx.permit({ project_id: group.project_id, tenant_id: group.project_id, 'security_group:project_id': group.project_id, 'security_group:tenant_id': group.project_id });
        const columns = await checkedRule(trx, b, {
          group: async remote => await find(trx, ctx, Groups, remote) !== undefined, addressGroup: async remote => await find(trx, ctx, AddressGroups, remote) !== undefined,
        });
        const id = newId();
        await trx('security_group_rules').insert({ id, project_id: group.project_id, security_group_id: group.id, ...columns }).catch((error: unknown) => {
          throw duplicateOf(error) === undefined ? error : new Conflict(`Security group rule already exists. Rule id is ${group.rules.find(r => r.direction === columns['direction'] && r.ethertype === columns['ethertype'] && r.protocol === columns['protocol'] && r.port_range_min === columns['port_range_min'] && r.remote_ip_prefix === columns['remote_ip_prefix'] && r.remote_group_id === columns['remote_group_id'] && r.remote_address_group_id === columns['remote_address_group_id'])?.id ?? ''}.`, { kind: 'SecurityGroupRuleExists' });
        });
        await checkQuota(trx, group.project_id, ['security_group_rule']);
        return id;
      },
      async after(trx, bodies) {
        const changed = bodies.map(b => b.security_group_id);
        await trx('security_groups').whereIn('id', changed).update(touched(trx));
        await applySecurity(rt.tasks, trx, changed);
      },
    }),
    rules.deleting({
      async remove(trx, row) {
        await trx('security_group_rules').where({ id: row.id }).delete();
        await trx('security_groups').where({ id: row.security_group_id }).update(touched(trx));
        await applySecurity(rt.tasks, trx, [row.security_group_id]);
      },
    }),
  ];
}
