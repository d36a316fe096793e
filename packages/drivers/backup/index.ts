export type {
  BackupDone, BackupDriver, BackupJob, BackupRef, Capabilities, ChainLink, Checkpoint, Compression, DriverInfo, Found, Imported, Placement,
  RestoreDone, RestoreJob, Source, Target, Verified,
} from './contract.ts';
export { sourceOf, targetOf } from './endpoints.ts';
export { fakeBackupDriver, type FakeBackupDriver } from './fake/driver.ts';
