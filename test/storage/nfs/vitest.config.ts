import { defineConfig } from 'vitest/config';

/** For the kernel that has an NFS client: one processor, no database. */
export default defineConfig({ test: { include: ['test/storage/nfs/inside.ts'], root: process.cwd(), maxWorkers: 1, testTimeout: 600_000, hookTimeout: 600_000 } });
