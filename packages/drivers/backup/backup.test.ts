import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { backupConformance } from './conformance.ts';
import { fakeBackupDriver, posixBackupDriver } from './index.ts';

const base = mkdtempSync(join(tmpdir(), 'storage-backup-'));
afterAll(() => rm(base, { recursive: true }));

const bad = ['', '/', '/etc', '..', 'a/../b', 'a//b', './a', '../x', 'a/.hidden', 'a\0b', 'a\nb', 'x'.repeat(300)];

backupConformance('fake', async () => {
  const held = new Map<string, Map<string, Buffer>>();
  return {
    open: (options) => fakeBackupDriver({ ...options, held }),
    names: async (container) => [...held.get(container)?.keys() ?? []],
    read: async (container, name) => held.get(container)?.get(name) ?? Buffer.alloc(0),
    write: async (container, name, bytes) => {
      if (!held.has(container)) held.set(container, new Map());
      held.get(container)?.set(name, bytes);
    },
    remove: async (container, name) => void held.get(container)?.delete(name),
    badContainers: bad,
  };
});

backupConformance('directory', async () => {
  const directory = mkdtempSync(join(base, 'target ä%20 '));
  return {
    open: (options) => posixBackupDriver({ directory, ...options }),
    names: (container) => readdir(join(directory, container)).catch(() => []),
    read: (container, name) => readFile(join(directory, container, name)),
    async write(container, name, bytes) {
      await mkdir(join(directory, container), { recursive: true });
      await writeFile(join(directory, container, name), bytes);
    },
    remove: (container, name) => rm(join(directory, container, name)),
    badContainers: bad,
  };
});
