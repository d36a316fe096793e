import type { Trx } from '@cumulet/db';
import { Conflict } from '@cumulet/wire';

/** Who may use what is not theirs: rows of network_rbac_policies, of which `shared` and `router:external` are views. */
export type ObjectType = 'network' | 'subnetpool' | 'address_scope' | 'security_group' | 'address_group' | 'qos_policy';
export type Action = 'access_as_shared' | 'access_as_external';

/** SQL: the object is shared with the project that is bound, or with everybody. `object` is a column. */
export const sharedWith = (object: string): string => `exists (select 1 from network_rbac_policies a where a.object_id = ${object} and a.action = 'access_as_shared' and a.target_project in ('*', ?))`;
/** SQL: the project that is bound may see the object, by any action. */
export const openTo = (object: string): string => `exists (select 1 from network_rbac_policies a where a.object_id = ${object} and a.target_project in ('*', ?))`;

/** One more policy; there already is as good. */
export async function grant(trx: Trx, object: { type: ObjectType; id: string; project: string }, action: Action, target = '*'): Promise<void> {
  await trx('network_rbac_policies').insert({ project_id: object.project, object_type: object.type, object_id: object.id, action, target_project: target }).onConflict(['object_id', 'action', 'target_project']).ignore();
}
export async function withdraw(trx: Trx, objectId: string, action: Action, target?: string): Promise<void> {
  await trx('network_rbac_policies').where({ object_id: objectId, action, ...(target === undefined ? {} : { target_project: target }) }).delete();
}

/** Projects, others than the owner, that have something on an object and lose it when they may use it no more. */
const users: Readonly<Record<ObjectType, string>> = {
  network: `select p.project_id from ports p where p.network_id = ? and p.project_id <> ''`,
  subnetpool: 'select s.project_id from subnets s where s.subnetpool_id = ?',
  address_scope: 'select s.project_id from subnetpools s where s.address_scope_id = ?',
  address_group: 'select r.project_id from security_group_rules r where r.remote_address_group_id = ?',
  qos_policy: 'select b.project_id from (select project_id, qos_policy_id from networks union all select project_id, qos_policy_id from ports) b where b.qos_policy_id = ?',
  security_group: 'select p.project_id from port_security_groups g join ports p on p.id = g.port_id where g.security_group_id = ?',
};

/**
 * Asked before a project (or `*`) loses its policy `access_as_shared`: whether somebody who has something on the object would be left without any.
 * Only of networks a policy that takes its place counts, and what the owner has does not hold the policy for everybody (as upstream: of other kinds it does).
 * @param instead a target that gets a policy in its place
 */
export async function isRelied(trx: Trx, object: { type: ObjectType; id: string; project: string }, target: string, instead?: string): Promise<boolean> {
  if (target === object.project) return false;
  const { rows } = await trx.raw(`select 1 from (${users[object.type]}) u where (u.project_id <> ? or ? <> 'network') and (? = '*' or u.project_id = ?)
    and not exists (select 1 from network_rbac_policies a where a.object_id = ? and a.action = 'access_as_shared' and a.target_project in ('*', u.project_id) and a.target_project <> ?) and u.project_id is distinct from ? limit 1`, [object.id, object.project, object.type, target, target, object.id, target, object.type === 'network' ? instead ?? null : null]);
  return rows.length > 0;
}

/** The same of `access_as_external`: routers whose gateway is on the network. */
export async function isGateway(trx: Trx, networkId: string, target: string, instead?: string): Promise<boolean> {
  const { rows } = await trx.raw(`select 1 from routers r where r.external_network_id = ? and (? = '*' or r.project_id = ?)
    and not exists (select 1 from network_rbac_policies a where a.object_id = ? and a.action = 'access_as_external' and a.target_project in ('*', r.project_id) and a.target_project <> ?) and r.project_id is distinct from ? limit 1`, [networkId, target, target, networkId, target, instead ?? null]);
  return rows.length > 0;
}

/** What `shared` is when it is written: a policy for everybody, or none. `refused`: what is said while somebody relies on it. */
export async function setShared(trx: Trx, object: { type: ObjectType; id: string; project: string }, shared: boolean | undefined, refused: () => Conflict): Promise<void> {
  if (shared === true) await grant(trx, object, 'access_as_shared');
  if (shared !== false || !await trx('network_rbac_policies').where({ object_id: object.id, action: 'access_as_shared', target_project: '*' }).first('id')) return;
  if (await isRelied(trx, object, '*')) throw refused();
  await withdraw(trx, object.id, 'access_as_shared', '*');
}

/** What `shared` and `router:external` of a network are when they are written. */
export async function setNetworkAccess(trx: Trx, network: { id: string; project_id: string; name: string; external: boolean }, wanted: { shared?: boolean | undefined; external?: boolean | undefined }): Promise<void> {
  const object = { type: 'network', id: network.id, project: network.project_id } as const;
  await setShared(trx, object, wanted.shared, () => new Conflict(`Unable to reconfigure sharing settings for network ${network.name}. Multiple projects are using it.`, { kind: 'InvalidSharedSetting' }));
  if (wanted.external === true && !network.external) await grant(trx, object, 'access_as_external');
  if (wanted.external === false && network.external) {
    if (await trx('ports').where({ network_id: network.id, device_owner: 'network:router_gateway' }).first('id')) throw new Conflict(`External network ${network.id} cannot be updated to be made non-external, since it has existing gateway ports.`, { kind: 'ExternalNetworkInUse' });
    await withdraw(trx, network.id, 'access_as_external');
  }
}
