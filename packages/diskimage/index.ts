export type { DiskFormat, Found, FoundFormat } from './contract.ts';
export { endOrphans, isWrongKey, openImage, type AccessOptions, type ImageAccess } from './nbd/access.ts';
export { createLuks, luksCipher, luksHeaderBytes, type LuksCipher } from './luks.ts';
export { createInspector, inspectFile, inspectStream, type Inspector, type InspectStream } from './inspect.ts';
export {
  commit, convert, create, info, isLocked, map, renameBase, resize,
  type Convert, type ImageAt, type Info, type MapEntry,
} from './qemu_img.ts';
export { assertSafe, UnsafeImage, type SafetyLimits } from './safety.ts';
