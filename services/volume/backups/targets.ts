import type { Settings } from '@cumulet/config';
import { plainCall } from '@cumulet/drivers';
import { fakeBackupDriver, nfsBackupDriver, posixBackupDriver, swiftBackupDriver, type BackupDriver } from '@cumulet/drivers/backup';
import { createRunner } from '@cumulet/exec';
import type { Runtime } from '@cumulet/service';
import { join, resolve } from 'node:path';
import type { TargetFacts } from './hosts.ts';

export type BackupTarget = Settings['backup']['targets'][number];
export type MakeTarget = (rt: Pick<Runtime, 'settings' | 'log'>, target: BackupTarget) => BackupDriver;

export const isShared = (t: BackupTarget): boolean => t.shared ?? (t.driver === 'nfs' || t.driver === 'swift');

function driverFor(rt: Pick<Runtime, 'settings' | 'log'>, t: BackupTarget): BackupDriver {
  const { settings } = rt;
  const wanted = <T>(value: T | undefined, setting: string): T => {
    if (value === undefined) throw new Error(`The backup target ${t.name} needs the setting ${setting}.`);
    return value;
  };
  const common = {
    name: t.name, compression: t.compression, ...(t.container === undefined ? {} : { container: t.container }), ...(t.objectBytes === undefined ? {} : { objectBytes: t.objectBytes }), ...(t.blockBytes === undefined ? {} : { blockBytes: t.blockBytes }),
  };
  switch (t.driver) {
    case 'posix': return posixBackupDriver({ ...common, directory: resolve(settings.home, t.path ?? t.name) });
    case 'nfs': return nfsBackupDriver({
      ...common, share: wanted(t.share, 'share'), mountPoint: resolve(settings.home, t.path ?? join('backup-mounts', t.name)), runner: createRunner({ log: rt.log }), ...(t.mountOptions === undefined ? {} : { mountOptions: t.mountOptions }),
    });
    case 'swift': {
      const { storagePolicy, auth, ...account } = wanted(t.swift, 'swift');
      return swiftBackupDriver({ ...common, ...account, authVersion: auth === undefined ? undefined : auth === 'v1' ? 1 : 3, zone: settings.volume.availabilityZone, ...(storagePolicy === undefined ? {} : { policy: storagePolicy }) });
    }
    case 'fake': return fakeBackupDriver(common);
  }
}

/** This host's targets, by name, as configured. */
export const openTargets = (rt: Pick<Runtime, 'settings' | 'log'>, make: MakeTarget = driverFor): Map<string, BackupDriver> => new Map(rt.settings.backup.targets.map(t => [t.name, make(rt, t)]));

/** Says which targets can be written from here: what `/os-services` shows as cinder-backup. With none it is silent, and counts as down after a while. */
export async function reportTargets(rt: Pick<Runtime, 'db' | 'settings' | 'log'>, targets: ReadonlyMap<string, BackupDriver>): Promise<void> {
  const facts: TargetFacts[] = [];
  for (const t of rt.settings.backup.targets) {
    const driver = targets.get(t.name);
    if (!driver) continue;
    try {
      await driver.check(plainCall('report', AbortSignal.timeout(30_000)));
      facts.push({ name: t.name, service: driver.service, shared: isShared(t), forceDelete: driver.capabilities.forceDelete });
    } catch (error) {
      rt.log.warn({ err: error, target: t.name }, 'a backup target does not answer');
    }
  }
  if (facts.length === 0) return;
  const row = { availability_zone: rt.settings.volume.availabilityZone, capabilities: JSON.stringify({ targets: facts }) };
  await rt.db('volume_services').insert({ binary_name: 'cinder-backup', host: rt.settings.host, ...row }).onConflict(['binary_name', 'host']).merge({ ...row, seen_at: rt.db.fn.now() });
}
