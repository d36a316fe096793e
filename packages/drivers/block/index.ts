export type {
  Attach, BlockData, BlockDriver, ConnectionInfo, Connector, DataRef, Encryption, Extent, ImageFile, Images, LuksKey, Manage, Manageable, ManageSnapshots, Pool,
  Provided, Range, Reference, SnapshotRef, Snapshots, VolumeRef, VolumeSpec,
} from './contract.ts';
export { bytesOfData, bytesOfVolume } from './contract.ts';
export { copyContent } from './copy.ts';
export { fileDriver, type FileDriverOptions } from './file/driver.ts';
export { fakeBlockDriver, type FakeBlockDriver, type FakeBlockOptions, type FakePool } from './fake/driver.ts';
