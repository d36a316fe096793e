export { cinderStore, type CinderStoreOptions } from './cinder/store.ts';
export type { ImageStore, ResumableUploads, Stored } from './contract.ts';
export { fakeStore, type FakeStore } from './fake/store.ts';
export { fileStore, type FileStoreOptions } from './file/store.ts';
export { httpStore, type HttpStoreOptions } from './http/store.ts';
export { rbdStore, type RbdStoreOptions } from './rbd/store.ts';
export { swiftStore, type SwiftStoreOptions } from './swift/store.ts';
