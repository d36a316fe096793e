/** Ceph through its own programs, for image stores, volumes and backups. */
export { diffOf } from './diff.ts';
export { openRbd, type CephAccess, type Rbd, type RbdInfo } from './rbd.ts';
