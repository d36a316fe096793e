import { operation, type Operation } from '@cumulet/http';
import { NotFound } from '@cumulet/wire';

/** Name, alias, date and what it is: the list by which old clients find out what they may call. */
const known: readonly (readonly [name: string, alias: string, updated: string, description: string])[] = [
  ['VolumeImageMetadata', 'os-vol-image-meta', '2012-12-07T00:00:00+00:00', 'Image metadata of volumes.'],
  ['VolumeUnmanage', 'os-volume-unmanage', '2012-05-31T00:00:00+00:00', 'Volumes can be forgotten and left on their backend.'],
  ['UsedLimits', 'os-used-limits', '2013-10-03T00:00:00+00:00', 'Limits with what is used of them.'],
  ['AdminActions', 'os-admin-actions', '2012-08-25T00:00:00+00:00', 'Actions of administrators.'],
  ['Cgsnapshots', 'cgsnapshots', '2014-08-18T00:00:00+00:00', 'Snapshots of consistency groups.'],
  ['TypesExtraSpecs', 'os-types-extra-specs', '2011-08-24T00:00:00+00:00', 'Extra specs of volume types.'],
  ['SnapshotUnmanage', 'os-snapshot-unmanage', '2014-12-31T00:00:00+00:00', 'Snapshots can be forgotten and left on their backend.'],
  ['VolumeTypeEncryption', 'encryption', '2013-07-01T00:00:00+00:00', 'Encryption of volume types.'],
  ['VolumeEncryptionMetadata', 'os-volume-encryption-metadata', '2013-07-10T00:00:00+00:00', 'Encryption metadata of volumes.'],
  ['Consistencygroups', 'consistencygroups', '2014-08-18T00:00:00+00:00', 'Consistency groups.'],
  ['SnapshotActions', 'os-snapshot-actions', '2013-07-16T00:00:00+00:00', 'Actions on snapshots.'],
  ['Backups', 'backups', '2012-12-12T00:00:00+00:00', 'Backups.'],
  ['Quotas', 'os-quota-sets', '2011-08-08T00:00:00+00:00', 'Quotas of projects.'],
  ['VolumeActions', 'os-volume-actions', '2012-05-31T00:00:00+00:00', 'Actions on volumes.'],
  ['QuotaClasses', 'os-quota-class-sets', '2012-03-12T00:00:00+00:00', 'Default quotas.'],
  ['AvailabilityZones', 'os-availability-zone', '2013-06-27T00:00:00+00:00', 'Availability zones.'],
  ['VolumeTypeAccess', 'os-volume-type-access', '2014-06-26T00:00:00Z', 'Access to private volume types.'],
  ['Services', 'os-services', '2012-10-28T00:00:00-00:00', 'Services and their state.'],
  ['Hosts', 'os-hosts', '2011-06-29T00:00:00+00:00', 'Hosts.'],
  ['TypesManage', 'os-types-manage', '2011-08-24T00:00:00+00:00', 'Management of volume types.'],
  ['ExtendedSnapshotAttributes', 'os-extended-snapshot-attributes', '2012-06-19T00:00:00+00:00', 'Project and progress of snapshots.'],
  ['SnapshotManage', 'os-snapshot-manage', '2014-12-31T00:00:00+00:00', 'Snapshots of a backend can be taken under management.'],
  ['Qos_specs_manage', 'qos-specs', '2013-08-02T00:00:00+00:00', 'QoS specs.'],
  ['VolumeHostAttribute', 'os-vol-host-attr', '2011-11-03T00:00:00+00:00', 'Host of a volume.'],
  ['Scheduler_stats', 'scheduler-stats', '2014-09-07T00:00:00+00:00', 'What the scheduler knows of pools.'],
  ['VolumeManage', 'os-volume-manage', '2014-02-10T00:00:00+00:00', 'Volumes of a backend can be taken under management.'],
  ['VolumeMigStatusAttribute', 'os-vol-mig-status-attr', '2013-08-08T00:00:00+00:00', 'Migration status of a volume.'],
  ['VolumeTransfer', 'os-volume-transfer', '2013-05-29T00:00:00+00:00', 'Transfer of volumes between projects.'],
  ['VolumeTenantAttribute', 'os-vol-tenant-attr', '2011-11-03T00:00:00+00:00', 'Project of a volume.'],
  ['SchedulerHints', 'OS-SCH-HNT', '2013-04-18T00:00:00+00:00', 'Hints to the scheduler.'],
  ['ExtendedServices', 'os-extended-services', '2014-01-10T00:00:00-00:00', 'Further members of services.'],
  ['Capabilities', 'capabilities', '2015-08-31T00:00:00+00:00', 'Capabilities of backends.'],
];
const view = ([name, alias, updated, description]: (typeof known)[number]) => ({ name, alias, description, updated, links: [] });

export const routes = (): Operation[] => [
  operation({ id: 'extensions.list', summary: 'List extensions', method: 'GET', path: '/extensions', policy: { anyone: 'upstream asks no rule' }, handler: () => ({ extensions: known.map(view) }) }),
  operation({
    id: 'extensions.show', summary: 'Show an extension', method: 'GET', path: '/extensions/:alias', policy: { anyone: 'upstream asks no rule' },
    handler: ctx => { const found = known.find(e => e[1] === ctx.params['alias']); if (!found) throw new NotFound(); return { extension: view(found) }; },
  }),
];
