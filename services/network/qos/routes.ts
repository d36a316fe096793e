import { duplicateOf, type Trx } from '@cumulet/db';
import type { Context, Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { grant, setShared } from '../rbac/access.ts';
import { given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { projectFor } from '../rest/policy.ts';
import { CreatePolicy, Policies, UpdatePolicy, type PolicyRow } from './policies.ts';
import { ruleRoutes } from './rule_routes.ts';
import { ruleTypeRoutes } from './rule_types.ts';

/** Policies say how much traffic ports may have, and how it is marked; what a policy says is in its rules. */
export function qosRoutes(rt: Runtime): Operation[] {
  const policies = operationsOf(rt, Policies, { path: '/qos/policies', one: 'a QoS policy', many: 'QoS policies' });
  const taken = (project: string) => (error: unknown) => (duplicateOf(error) === 'qos_policies_default' ? new Conflict(`A default QoS policy exists for project ${project}.`, { kind: 'QoSPolicyDefaultAlreadyExists' }) : error);
  return [
    ...policies.reading(),
    policies.creating(CreatePolicy, {
      given: body => [body.policy],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        ctx.permit({ project_id: project, tenant_id: project });
        const id = newId();
        await trx('qos_policies').insert({ id, project_id: project, name: b.name ?? '', description: b.description ?? '', is_default: b.is_default ?? false }).catch((error: unknown) => { throw taken(project)(error); });
        if (b.shared === true) await grant(trx, { type: 'qos_policy', id, project }, 'access_as_shared');
        return id;
      },
    }),
    policies.updating(UpdatePolicy, {
      async change(trx: Trx, _: Context, row: PolicyRow, { policy: b }) {
        await trx('qos_policies').where({ id: row.id }).update({ ...given({ name: b.name, description: b.description, is_default: b.is_default }), ...touched(trx) }).catch((error: unknown) => { throw taken(row.project_id)(error); });
        await setShared(trx, { type: 'qos_policy', id: row.id, project: row.project_id }, b.shared, () => new Conflict(`RBAC policy on object ${row.id} cannot be removed because other objects depend on it.`, { kind: 'RbacPolicyInUse' }));
      },
    }),
    policies.deleting({
      async remove(trx, { id }) {
        await trx('qos_policies').where({ id }).forUpdate().first('id');
        for (const [table, what] of [['ports', 'port'], ['networks', 'network']] as const) {
          const user: { id: string } | undefined = await trx(table).where({ qos_policy_id: id }).first('id');
          if (user) throw new Conflict(`QoS Policy ${id} is used by ${what} ${user.id}.`, { kind: 'QosPolicyInUse' });
        }
        await trx('qos_policies').where({ id }).delete();
      },
    }),
    ...ruleRoutes(rt),
    ...ruleTypeRoutes(),
  ];
}
