export type {
  BackupDone, BackupDriver, BackupJob, BackupRef, Capabilities, ChainLink, Checkpoint, Compression, DriverInfo, Found, Imported, Placement,
  RestoreDone, RestoreJob, Source, Target, Verified,
} from './contract.ts';
export { metadataContainer, readContainer, restoredFields, type Container, type RestoredFields } from './container.ts';
export { sourceOf, targetOf } from './endpoints.ts';
export { fakeBackupDriver, type FakeBackupDriver } from './fake/driver.ts';
export { nfsBackupDriver, posixBackupDriver, type NfsBackupOptions, type PosixBackupOptions } from './posix/driver.ts';
export { decodeRecord, encodeRecord, isBase64 } from './record.ts';
export { swiftBackupDriver, type SwiftBackupOptions } from './swift/driver.ts';
export { openThreads, type Threads } from './threads.ts';
