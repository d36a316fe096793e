import { duplicateOf, type Trx } from '@cumulet/db';
import type { Context, Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { operationsOf } from '../rest/operations.ts';
import { projectFor } from '../rest/policy.ts';
import { isGateway, isRelied, sharedWith, type Action, type ObjectType } from './access.ts';
import { actions, CreateRbacPolicy, RbacPolicies, tables, UpdateRbacPolicy, type RbacRow } from './policies.ts';

const invalid = (reason: string, kind = 'InvalidInput') => new BadRequest(`Invalid input for operation: ${reason}.`, { kind });
const duplicate = (error: unknown) => (duplicateOf(error) === undefined ? error : new Conflict('An RBAC policy already exists with those values.', { kind: 'DuplicateRbacPolicy' }));

const targetOf = ({ rbac_policy: b }: { rbac_policy: { target_project?: string | undefined; target_tenant?: string | undefined } }): string => b.target_project ?? b.target_tenant ?? '';

/** Who gives what is theirs to other projects. */
export function rbacRoutes(rt: Runtime): Operation[] {
  const policies = operationsOf(rt, RbacPolicies, { path: '/rbac-policies', one: 'an RBAC policy', many: 'RBAC policies' });
  // Locked, so that what others are about to make of the object is seen or waits.
  const ownerOf = async (trx: Trx, type: ObjectType, id: string) => await trx(tables[type]).where({ id }).forUpdate().first('id', 'project_id') as { id: string; project_id: string } | undefined;
  /** The rules look at the wanted target itself: whether a policy is for everybody is what they are about. */
  const permitTarget = (ctx: Context, verb: 'create' | 'update', project: string, target: string) => {
    const facts = { project_id: project, tenant_id: project, target_tenant: target, target_project: target };
    ctx.permit(facts);
    ctx.require(`${verb}_rbac_policy:target_tenant`, facts);
  };
  const isOwners = (ctx: Context, type: ObjectType, project: string) => {
    if (project !== ctx.caller.projectId && !ctx.allows('context_is_admin')) throw invalid(`Only admins can manipulate policies on ${type === 'network' ? 'networks' : 'objects'} they do not own`);
  };
  /** Nobody may be left with ports, subnets or gateways on what they may use no more. */
  const release = async (trx: Trx, row: RbacRow, instead?: string) => {
    const inUse = (details: string) => new Conflict(`RBAC policy on object ${row.object_id} cannot be removed because other objects depend on it.\nDetails: ${details}`, { kind: 'RbacPolicyInUse' });
    if (row.action === 'access_as_external') {
      if (row.target_project === '*' && await trx('networks').where({ id: row.object_id, is_default: true }).first('id')) throw inUse('Default external networks must be shared to everyone.');
      if (await isGateway(trx, row.object_id, row.target_project, instead)) throw inUse('There are routers attached to this network that depend on this policy for access.');
      return;
    }
    const owner = await ownerOf(trx, row.object_type, row.object_id);
    if (owner && await isRelied(trx, { type: row.object_type, id: row.object_id, project: owner.project_id }, row.target_project, instead)) throw inUse(row.object_type === 'network' ? `Unable to reconfigure sharing settings for network ${row.object_id}. Multiple projects are using it.` : `project_id=${row.target_project}`);
  };
  /** Who may do what with an object is part of it. */
  const bump = (trx: Trx, type: ObjectType, id: string) => trx(tables[type]).where({ id }).update(touched(trx));
  return [
    ...policies.reading(),
    policies.creating(CreateRbacPolicy, {
      given: body => [body.rbac_policy],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        const target = targetOf({ rbac_policy: b });
        permitTarget(ctx, 'create', project, target);
        const type = b.object_type.trim().toLowerCase() as ObjectType;
        if (!Object.hasOwn(actions, type)) throw invalid(`'${b.object_type}' is not a valid RBAC object type`);
        if (!actions[type].some(a => a === b.action)) throw invalid(`Invalid action '${b.action}' for object type '${type}'. Valid actions: (${actions[type].map(a => `'${a}'`).join(', ')}${actions[type].length === 1 ? ',' : ''})`, 'InvalidActionForType');
        const object = await ownerOf(trx, type, b.object_id);
        if (!object) throw invalid(`${type} ${b.object_id} could not be found`);
        isOwners(ctx, type, object.project_id);
        if (type === 'subnetpool') await checkScopeOf(trx, object.id, target);
        const id = newId();
        await trx('network_rbac_policies').insert({ id, project_id: project, object_type: type, object_id: object.id, action: b.action as Action, target_project: target });
        await bump(trx, type, object.id);
        await checkQuota(trx, project, ['rbac_policy']);
        return id;
      },
      refused: duplicate,
    }),
    policies.updating(UpdateRbacPolicy, {
      permit: (ctx, row, body) => permitTarget(ctx, 'update', row.project_id, targetOf(body)),
      async change(trx, ctx, row, body) {
        const target = targetOf(body);
        const owner = await ownerOf(trx, row.object_type, row.object_id);
        if (owner) isOwners(ctx, row.object_type, owner.project_id);
        if (target !== row.target_project && target !== '*') await release(trx, row, target);
        await trx('network_rbac_policies').where({ id: row.id }).update({ target_project: target });
        await bump(trx, row.object_type, row.object_id);
      },
      refused: duplicate,
    }),
    policies.deleting({
      async remove(trx, row) {
        await release(trx, row);
        await trx('network_rbac_policies').where({ id: row.id }).delete();
        await bump(trx, row.object_type, row.object_id);
      },
    }),
  ];
}

/** Subnets of a pool are of its address scope: who is to use the one must be let into the other. */
async function checkScopeOf(trx: Trx, poolId: string, target: string): Promise<void> {
  const { rows: [closed] } = await trx.raw(`select s.id from subnetpools p join address_scopes s on s.id = p.address_scope_id where p.id = ? and s.project_id <> ? and not ${sharedWith('s.id')}`, [poolId, target, target]);
  if (closed) throw invalid(`AddressScope ${closed.id} is not shared with project ${target}`);
}
