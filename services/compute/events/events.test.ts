import { afterAll, beforeAll, expect, test } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';

let c: TestCloud;
beforeAll(async () => { c = await testCloud(); });
afterAll(() => c.close());

test('volume-extended: the guest of that server is told, nobody else', async () => {
  const volumes = as(c.volumes, 'demo', 'volume');
  const id = (await volumes('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id as string;
  await c.t.drain();
  const server = await c.server();
  expect((await c.call()('POST', `/v2.1/servers/${server}/os-volume_attachments`, { volumeAttachment: { volumeId: id } })).status).toBe(200);
  await c.t.drain();
  const tell = (server_uuid: string, tag: string, version = '2.51') => c.call('service')('POST', '/v2.1/os-server-external-events', { events: [{ name: 'volume-extended', server_uuid, tag }] }, version);
  const told = () => c.hypervisor.faults.calls['volumes.extend'] ?? 0;
  expect((await tell(server, id)).body.events).toMatchObject([{ code: 200, status: 'completed' }]);
  await c.t.drain();
  expect(told()).toBe(1);
  const [action] = (await c.call()('GET', `/v2.1/servers/${server}/os-instance-actions`)).body.instanceActions;
  expect(action).toMatchObject({ action: 'extend_volume', message: null });
  expect((await c.call('admin')('GET', `/v2.1/servers/${server}/os-instance-actions/${action.request_id}`, undefined, '2.51')).body.instanceAction.events).toMatchObject([{ event: 'compute_extend_volume', result: 'Success' }]);
  const other = await c.server();
  await tell(other, id);
  await tell(server, '0'.repeat(8));
  await c.t.drain();
  expect(told()).toBe(1);
  expect((await tell(server, id, '2.50')).status).toBe(400);
  // Growing it here tells by itself.
  expect((await volumes('POST', `/v3/volumes/${id}/action`, { 'os-extend': { new_size: 2 } }, '3.42')).status).toBe(202);
  await c.t.drain();
  expect(told()).toBe(2);
  expect((await volumes('GET', `/v3/volumes/${id}`)).body.volume).toMatchObject({ status: 'in-use', size: 2 });
});
