import type { Micro } from '@cumulet/wire';
import { compare } from '@cumulet/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../testing.ts';

// What upstream's own documentation shows of each reply, at each version in which it changed; as the administrator, who sees most.
let c: TestCloud;
beforeAll(async () => { c = await testCloud(); });
afterAll(() => c.close());

type Since = readonly (readonly [Micro, string])[];
const at = (base: string, since: Since, version: Micro) => [...base.split(' '), ...since.filter(([v]) => compare(version, v) >= 0).flatMap(([, keys]) => keys.split(' '))].toSorted();
const keys = (o: object) => Object.keys(o).toSorted();
/** Each version in which it changed, and the one before. */
const versions = (since: Since): Micro[] => [...new Set<Micro>(['3.0', ...since.flatMap(([v]): Micro[] => [`3.${Number(v.split('.')[1]) - 1}`, v]), '3.71'])];

const volume = 'attachments availability_zone bootable consistencygroup_id created_at description encrypted id links metadata migration_status multiattach name replication_status size snapshot_id source_volid status updated_at user_id volume_type';
const shown = `${volume} os-vol-host-attr:host os-vol-mig-status-attr:migstat os-vol-mig-status-attr:name_id os-vol-tenant-attr:tenant_id`;
const volumeSince: Since = [['3.13', 'group_id'], ['3.21', 'provider_id'], ['3.48', 'service_uuid shared_targets'], ['3.61', 'cluster_name'], ['3.63', 'volume_type_id'], ['3.65', 'consumes_quota']];
test('volumes: create, show, update, detail, list, summary', async () => {
  const id = (await c.admin('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id;
  await c.t.drain();
  for (const version of versions(volumeSince)) {
    const made = (await c.admin('POST', '/v3/volumes', { volume: { size: 1, name: 'x' } }, version)).body.volume;
    await c.t.drain();
    expect(keys(made), `create ${version}`).toEqual(at(volume, volumeSince, version));
    expect(keys((await c.admin('PUT', `/v3/volumes/${id}`, { volume: { name: 'y' } }, version)).body.volume), `update ${version}`).toEqual(at(volume, volumeSince, version));
    expect(keys((await c.admin('GET', `/v3/volumes/${id}`, undefined, version)).body.volume), `show ${version}`).toEqual(at(shown, volumeSince, version));
    expect(keys((await c.admin('GET', '/v3/volumes/detail', undefined, version)).body.volumes[0]), `detail ${version}`).toEqual(at(shown, volumeSince, version));
    expect(keys((await c.admin('GET', '/v3/volumes', undefined, version)).body.volumes[0])).toEqual(['id', 'links', 'name']);
    await c.admin('DELETE', `/v3/volumes/${made.id}`);
    await c.t.drain();
  }
  expect(keys((await c.admin('GET', '/v3/volumes/summary', undefined, '3.12')).body['volume-summary'])).toEqual(['total_count', 'total_size']);
  expect(keys((await c.admin('GET', '/v3/volumes/summary', undefined, '3.36')).body['volume-summary'])).toEqual(['metadata', 'total_count', 'total_size']);
  expect(keys((await c.admin('GET', '/v3/volumes?with_count=true', undefined, '3.45')).body)).toEqual(['count', 'volumes']);
});
test('snapshots', async () => {
  const base = 'created_at description id metadata name size status updated_at volume_id';
  const since: Since = [['3.14', 'group_snapshot_id'], ['3.41', 'user_id'], ['3.65', 'consumes_quota']];
  const extra = `${base} os-extended-snapshot-attributes:progress os-extended-snapshot-attributes:project_id`;
  const id = (await c.admin('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id;
  await c.t.drain();
  for (const version of versions(since)) {
    const made = (await c.admin('POST', '/v3/snapshots', { snapshot: { volume_id: id } }, version)).body.snapshot;
    await c.t.drain();
    expect(keys(made), `create ${version}`).toEqual(at(base, since, version));
    expect(keys((await c.admin('GET', `/v3/snapshots/${made.id}`, undefined, version)).body.snapshot), `show ${version}`).toEqual(at(extra, since, version));
    expect(keys((await c.admin('PUT', `/v3/snapshots/${made.id}`, { snapshot: { name: 'n' } }, version)).body.snapshot), `update ${version}`).toEqual(at(base, since, version));
    expect(keys((await c.admin('GET', '/v3/snapshots/detail', undefined, version)).body.snapshots[0]), `detail ${version}`).toEqual(at(extra, since, version));
    expect(keys((await c.admin('GET', '/v3/snapshots', undefined, version)).body.snapshots[0]), `list ${version}`).toEqual(at(base, since, version));
    await c.admin('DELETE', `/v3/snapshots/${made.id}`);
    await c.t.drain();
  }
});
test('transfers, attachments, messages', async () => {
  const base = 'created_at id links name volume_id';
  const since: Since = [['3.55', 'no_snapshots'], ['3.57', 'accepted destination_project_id source_project_id']];
  const id = (await c.admin('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id;
  await c.t.drain();
  for (const version of versions(since)) {
    const path = compare(version, '3.55') >= 0 ? '/v3/volume-transfers' : '/v3/os-volume-transfer';
    const made = (await c.admin('POST', path, { transfer: { volume_id: id } }, version)).body.transfer;
    expect(keys(made), `create ${version}`).toEqual(at(`${base} auth_key`, since, version));
    expect(keys((await c.admin('GET', `${path}/${made.id}`, undefined, version)).body.transfer), `show ${version}`).toEqual(at(base, since, version));
    expect(keys((await c.admin('GET', `${path}/detail`, undefined, version)).body.transfers[0]), `detail ${version}`).toEqual(at(base, since, version));
    expect(keys((await c.admin('GET', path, undefined, version)).body.transfers[0])).toEqual(['id', 'links', 'name', 'volume_id']);
    expect((await c.admin('DELETE', `${path}/${made.id}`, undefined, version)).status).toBe(202);
  }
  const attachment = (await c.admin('POST', '/v3/attachments', { attachment: { volume_uuid: id } }, '3.54')).body.attachment;
  const whole = 'attach_mode attached_at connection_info detached_at id instance status volume_id'.split(' ');
  expect(keys(attachment)).toEqual(whole);
  expect(keys((await c.admin('GET', `/v3/attachments/${attachment.id}`, undefined, '3.27')).body.attachment)).toEqual(whole);
  expect(keys((await c.admin('GET', '/v3/attachments/detail', undefined, '3.27')).body.attachments[0])).toEqual(whole);
  expect(keys((await c.admin('GET', '/v3/attachments', undefined, '3.27')).body.attachments[0])).toEqual(['id', 'instance', 'status', 'volume_id']);
  await c.admin('POST', '/v3/volumes', { volume: { size: 999_999_999 } });
  await c.admin('PUT', '/v3/os-quota-class-sets/default', { quota_class_set: { gigabytes: -1 } });
  await c.admin('POST', '/v3/volumes', { volume: { size: 999_999_999 } });
  expect(keys((await c.admin('GET', '/v3/messages', undefined, '3.5')).body.messages[0])).toEqual('created_at event_id guaranteed_until id links message_level request_id resource_type resource_uuid user_message'.split(' '));
});
test('groups, their types and snapshots', async () => {
  const type = (await c.admin('GET', '/v3/types/default')).body.volume_type.id;
  const kind = (await c.admin('POST', '/v3/group_types', { group_type: { name: 'k' } }, '3.11')).body.group_type;
  expect(keys(kind)).toEqual(['description', 'group_specs', 'id', 'is_public', 'name']);
  const made = (await c.admin('POST', '/v3/groups', { group: { group_type: kind.id, volume_types: [type] } }, '3.13')).body.group;
  expect(keys(made)).toEqual(['id', 'name']);
  await c.admin('POST', '/v3/volumes', { volume: { size: 1, group_id: made.id } }, '3.13');
  await c.t.drain();
  const base = 'availability_zone created_at description group_type id name status volume_types';
  const since: Since = [['3.14', 'group_snapshot_id source_group_id'], ['3.25', 'volumes'], ['3.38', 'replication_status'], ['3.58', 'project_id']];
  for (const version of versions(since).filter(v => compare(v, '3.13') >= 0)) expect(keys((await c.admin('GET', `/v3/groups/${made.id}?list_volume=true`, undefined, version)).body.group), version).toEqual(at(base, since, version));
  const shot = (await c.admin('POST', '/v3/group_snapshots', { group_snapshot: { group_id: made.id } }, '3.14')).body.group_snapshot;
  expect(keys(shot)).toEqual(['group_type_id', 'id', 'name']);
  await c.t.drain();
  const snapshot = 'created_at description group_id group_type_id id name status';
  for (const version of ['3.14', '3.57', '3.58', '3.71'] as const) expect(keys((await c.admin('GET', `/v3/group_snapshots/${shot.id}`, undefined, version)).body.group_snapshot)).toEqual(at(snapshot, [['3.58', 'project_id']], version));
});
test('types, QoS, quotas, services, hosts, pools, zones, filters', async () => {
  const made = (await c.admin('POST', '/v3/types', { volume_type: { name: 't' } })).body.volume_type;
  expect(keys(made)).toEqual(['description', 'extra_specs', 'id', 'is_public', 'name', 'os-volume-type-access:is_public']);
  expect(keys((await c.admin('GET', `/v3/types/${made.id}`)).body.volume_type)).toEqual(['description', 'extra_specs', 'id', 'is_public', 'name', 'os-volume-type-access:is_public', 'qos_specs_id']);
  expect(keys((await c.admin('POST', `/v3/types/${made.id}/encryption`, { encryption: { provider: 'luks', control_location: 'front-end' } })).body.encryption)).toEqual(['cipher', 'control_location', 'encryption_id', 'key_size', 'provider', 'volume_type_id']);
  expect(keys((await c.admin('GET', `/v3/types/${made.id}/encryption`)).body)).toEqual(['cipher', 'control_location', 'created_at', 'deleted', 'deleted_at', 'encryption_id', 'key_size', 'provider', 'updated_at', 'volume_type_id']);
  expect(keys((await c.admin('POST', '/v3/qos-specs', { qos_specs: { name: 'q' } })).body.qos_specs)).toEqual(['consumer', 'id', 'name', 'specs']);
  const quota = ['backup_gigabytes', 'backups', 'gigabytes', 'groups', 'id', 'per_volume_gigabytes', 'snapshots', 'volumes'];
  const plain = (o: object) => keys(o).filter(k => !/^(gigabytes|snapshots|volumes)_/.test(k));
  expect(plain((await c.admin('GET', '/v3/os-quota-sets/p')).body.quota_set)).toEqual(quota);
  expect(plain((await c.admin('PUT', '/v3/os-quota-sets/p', { quota_set: { volumes: 3 } })).body.quota_set)).toEqual(quota.filter(k => k !== 'id'));
  expect(plain((await c.admin('GET', '/v3/os-quota-class-sets/default')).body.quota_class_set)).toEqual(quota);
  expect(keys((await c.admin('GET', '/v3/os-services', undefined, '3.49')).body.services.find((s: { binary: string }) => s.binary === 'cinder-volume'))).toEqual(expect.arrayContaining(['binary', 'cluster', 'disabled_reason', 'host', 'state', 'status', 'updated_at', 'zone']));
  expect(keys((await c.admin('GET', '/v3/os-hosts')).body.hosts[0])).toEqual(['host_name', 'last-update', 'service', 'service-state', 'service-status', 'zone']);
  expect(keys((await c.admin('GET', '/v3/scheduler-stats/get_pools?detail=true')).body.pools[0])).toEqual(['capabilities', 'name']);
  expect(keys((await c.admin('GET', '/v3/os-availability-zone')).body.availabilityZoneInfo[0])).toEqual(['zoneName', 'zoneState']);
  expect(keys((await c.admin('GET', '/v3/resource_filters', undefined, '3.33')).body.resource_filters[0])).toEqual(['filters', 'resource']);
  expect(keys((await c.admin('PUT', '/v3/default-types/p', { default_type: { volume_type: made.id } }, '3.62')).body.default_type)).toEqual(['project_id', 'volume_type_id']);
});
