export type { DiskFormat, Found, FoundFormat } from './contract.ts';
