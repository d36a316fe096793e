import type { Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict, Forbidden, NotFound } from '@cumulet/wire';
import { find, missing } from '../rest/collection.ts';
import { Policies } from './policies.ts';
import { supported, type RuleType } from './rules.ts';

/** SQL: the policy in force on port `p` of network `n`: its own, else its network's, which is not for routers and DHCP (neutron's should_apply_to_port). */
export const inForce = `coalesce(p.qos_policy_id, case when p.device_owner not like 'network:%' and p.device_owner not like 'neutron:%' then n.qos_policy_id end)`;
/** Ports `p` that a policy is in force on; the first conditions are for the indexes. */
export const portsUnder = (trx: Trx, policyId: string) => trx('ports as p').join('networks as n', 'n.id', 'p.network_id').where(w => void w.where('p.qos_policy_id', policyId).orWhere('n.qos_policy_id', policyId)).whereRaw(`${inForce} = ?`, [policyId]);

/** Held until the end of the transaction: its rules stay as they are meanwhile, and it is not deleted or taken from those it is shared with. */
const hold = (trx: Trx, id: string) => trx('qos_policies').where({ id }).forShare().first('id');
const unsupportedIn = async (trx: Trx, policyId: string): Promise<RuleType | undefined> => (await trx('qos_rules').where({ qos_policy_id: policyId }).whereNotIn('type', [...supported]).first('type') as { type: RuleType } | undefined)?.type;

export const unsupportedByPort = (type: RuleType, portId: string) => new Conflict(`Rule ${type} is not supported by port ${portId}`, { kind: 'QosRuleNotSupported' });
export const unsupportedByNetwork = (type: RuleType, networkId: string) => new Conflict(`Rule ${type} is not supported by network ${networkId}`, { kind: 'QosRuleNotSupportedByNetwork' });

/**
 * Before a network or port gets a policy (null: none). One that the caller does not see is not found; one with rules that no bridge keeps is refused, as is one for a port that is no guest's; and what somebody gave who
 * alone may use it (an administrator, most often) is not the caller's to take away. No change asks nothing.
 */
export async function checkPolicy(trx: Trx, ctx: Context, on: { network: string } | { port: string; owner: string }, wanted: string | null | undefined, now: string | null): Promise<void> {
  if (wanted === undefined) return;
  if (now !== null) {
    await find(trx, ctx, Policies, now).catch((error: unknown) => { throw error instanceof NotFound ? new Forbidden(`Failed to remove provided policy ${now} because you are not authorized.`, { kind: 'PolicyRemoveAuthorizationError' }) : error; });
  }
  if (wanted === null) return;
  if ('port' in on && on.owner.startsWith('network:')) throw new BadRequest('Invalid input for operation: QoS policies of the ports of routers and DHCP servers are not available in this cloud.', { kind: 'InvalidInput' });
  if (!await hold(trx, wanted)) throw missing(Policies, wanted);
  await find(trx, ctx, Policies, wanted);
  const type = await unsupportedIn(trx, wanted);
  if (type !== undefined) throw 'port' in on ? unsupportedByPort(type, on.port) : unsupportedByNetwork(type, on.network);
}

/** The policy of a new network that names none: its project's default. */
export async function defaultPolicy(trx: Trx, projectId: string, networkId: string): Promise<string | null> {
  const found: { id: string } | undefined = await trx('qos_policies').where({ project_id: projectId, is_default: true }).forShare().first('id');
  const type = found && await unsupportedIn(trx, found.id);
  if (type !== undefined) throw unsupportedByNetwork(type, networkId);
  return found?.id ?? null;
}
