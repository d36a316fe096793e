import { transaction } from '@cumulet/db';
import { plainCall } from '@cumulet/drivers';
import { fakeNetwork } from '@cumulet/drivers/network';
import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { networksForCompute, plans } from '../index.ts';
import { insertSubnet } from '../subnets/service.ts';
import { applyNetwork } from './enqueue.ts';
import { reconcileHost } from './host.ts';
import type { NetworkDeps } from './deps.ts';

let t: TestRuntime;
let deps: NetworkDeps;
const driver = fakeNetwork();
const call = plainCall();
const project = callers.demo.projectId as string;
beforeAll(async () => {
  t = await testRuntime();
  deps = { db: t.rt.db, driver, host: 'testhost', metadataSocket: null, hostAccess: true };
  t.serve({ plans, deps });
});
afterAll(async () => { await t.close(); });

test('a network that a task is making is left to it; one that guests had and lost is made anew at once', async () => {
  const nets = networksForCompute({ db: t.rt.db, tasks: t.rt.tasks, host: deps });
  const network = newId();
  const port = await transaction(t.rt.db, async trx => {
    await trx('networks').insert({ id: network, project_id: project, name: 'n', mtu: 1450 });
    await insertSubnet(trx, { network_id: network, cidr: '10.80.0.0/24' }, project);
    const made = await nets.createPort(trx, { who: { projectId: project, userId: 'u', admin: false }, serverId: newId(), networkId: network, zone: 'nova' });
    await nets.bind(trx, made.id, 'testhost');
    await applyNetwork(t.rt.tasks, trx, network);
    return made;
  });
  await reconcileHost(deps, call);
  expect(driver.count('applyNetwork')).toBe(0);
  await t.drain();
  expect(driver.networks.has(network)).toBe(true);

  // Nobody is at work on it.
  await driver.removeNetwork(call, network);
  await reconcileHost(deps, call);
  expect(driver.networks.has(network)).toBe(true);

  await nets.plug(call, port.id);
  await transaction(t.rt.db, trx => applyNetwork(t.rt.tasks, trx, network));
  await driver.removeNetwork(call, network);
  await reconcileHost(deps, call);
  expect(driver.networks.has(network)).toBe(true);
  await t.drain();
});
