import type { TestCloud } from '../../services/compute/testing/cloud.ts';
import { asking } from './asking.ts';
import { as, callers } from '../harness/service.ts';

/** Ids that stand for the recorded ones, by what a path calls their kind, and by the state of the server that the recording shows. */
export interface Situation {
  readonly servers: Readonly<Record<string, string>>;
  readonly others: Readonly<Record<string, string>>;
  readonly project: string;
  readonly image: string;
}

/** What the recordings look at: servers in every state, one with a volume, a key, tags and metadata. */
export async function situation(c: TestCloud): Promise<Situation> {
  const { project, nova, cinder, must, settled } = asking(c);
  const volume = (body: object) => must(cinder('POST', `/v3/${project}/volumes`, { volume: body }));

  await must(nova('POST', '/v2.1/os-keypairs', { keypair: { name: 'gk' } }, '2.10'));
  await must(nova('POST', '/v2.1/os-server-groups', { server_group: { name: 'gsg', policy: 'anti-affinity' } }, '2.64'));
  await must(nova('POST', '/v2.1/flavors', { flavor: { id: 'g1', name: 'g1', ram: 64, vcpus: 1, disk: 1 } }, '2.61'));
  await must(nova('POST', '/v2.1/flavors/g1/os-extra_specs', { extra_specs: { q: '1' } }, '2.61'));
  await must(nova('POST', '/v2.1/os-aggregates', { aggregate: { name: 'gagg', availability_zone: null } }));

  const states: [string, object | undefined][] = [['SHUTOFF', { 'os-stop': null }], ['PAUSED', { pause: null }], ['RESCUE', { rescue: null }], ['SHELVED_OFFLOADED', { shelve: null }], ['ERROR', { 'os-resetState': { state: 'error' } }], ['ACTIVE', undefined]];
  const servers: Record<string, string> = {};
  for (const [state, action] of states) {
    servers[state] = await c.server({ who: 'admin', name: state === 'ACTIVE' ? 'gsrv' : `gsrv-${state}`, key_name: 'gk', metadata: { z: '1' } });
    if (action) await settled(must(nova('POST', `/v2.1/servers/${servers[state]}/action`, action, '2.73')));
  }
  // One of another project, locked by an administrator: the project's only one, and it may have no more.
  const locked = servers['LOCKED'] = await c.server({ who: 'demo', name: 'gsrv-LOCKED' });
  await must(nova('POST', `/v2.1/servers/${locked}/action`, { lock: { locked_reason: 'gold' } }, '2.73'));
  await must(nova('PUT', `/v2.1/os-quota-sets/${callers.demo.projectId ?? ''}`, { quota_set: { instances: 1, force: true } }));
  for (const name of ['gone-1', 'gone-2']) {
    const gone = await c.server({ who: 'admin', name });
    await settled(must(nova('DELETE', `/v2.1/servers/${gone}`)));
  }
  const active = servers['ACTIVE'] as string;
  await must(nova('PUT', `/v2.1/servers/${active}/tags`, { tags: ['a', 'b'] }, '2.26'));
  const attached = (await settled(volume({ size: 1, name: 'gattached' }))).volume.id as string;
  await settled(c.asking(must(nova('POST', `/v2.1/servers/${active}/os-volume_attachments`, { volumeAttachment: { volumeId: attached } }, '2.89'))));
  const found = await must(as(c.images, 'admin')('GET', '/v2/images?name=tiny'));
  const failed = await c.t.rt.db('tasks').where({ state: 'failed' }).select('plan', 'error');
  if (failed.length > 0) throw new Error(`the situation failed: ${JSON.stringify(failed)}`);
  const actions = (await must(nova('GET', `/v2.1/servers/${active}/os-instance-actions`))).instanceActions as { request_id: string }[];

  return { servers, project, image: String(found.images[0].id), others: { 'os-volume_attachments': attached, 'os-instance-actions': actions[0]?.request_id ?? '' } };
}
