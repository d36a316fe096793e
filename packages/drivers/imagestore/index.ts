export type { ImageStore, ResumableUploads, Stored } from './contract.ts';
