import { overLimit, type Trx } from '@cumulet/db';
import { Conflict } from '@cumulet/wire';

/** neutron's own defaults. */
export const quotaDefaults = { network: 100, subnet: 100, subnetpool: -1, port: 500, router: 10, floatingip: 50, security_group: 10, security_group_rule: 100, rbac_policy: 10 } as const;

/** 409 `OverQuota`, as neutron says it. After the inserts. */
export async function checkQuota(trx: Trx, projectId: string, resources: readonly string[]): Promise<void> {
  const over = await overLimit(trx, 'network', projectId, resources, quotaDefaults);
  if (over) throw new Conflict(`Quota exceeded for resources: ['${over.resource}'].`, { kind: 'OverQuota' });
}
