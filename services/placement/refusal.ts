import { operation, type Method, type Operation } from '@cumulet/http';
import { Conflict, type Micro } from '@cumulet/wire';

/** Changes that placement would take from Nova and Neutron. Here the hosts themselves are the truth, so there is nothing to change. */
export const refuse = (id: string, method: Method, path: string, policy: string, since?: Micro): Operation => operation({
  id, summary: 'Refused: placement is a view of the compute hosts', method, path, policy, ...(since ? { since } : {}),
  handler: () => { throw new Conflict('Resource providers, inventories and allocations of this cloud are computed from its compute hosts and servers and cannot be changed here.', { kind: 'placement.undefined_code' }); },
});
