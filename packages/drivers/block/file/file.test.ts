import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunner } from '@cumulet/exec';
import { afterAll } from 'vitest';
import { blockConformance } from '../conformance.ts';
import { plantFile, sharesBlocks } from '../conformance/lab.ts';
import { fileDriver } from './driver.ts';

const base = mkdtempSync(join(tmpdir(), 'storage-block-'));
const runner = createRunner({ log: { debug() {}, warn() {} } });
afterAll(() => rm(base, { recursive: true, force: true }));

const filesIn = async (path: string) => (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).map((entry) => entry.name).toSorted();
const usedIn = async (path: string) => (await Promise.all((await filesIn(path)).map((name) => stat(join(path, name))))).reduce((sum, found) => sum + found.blocks * 512, 0);

function underTest(directory: string, format: 'raw' | 'qcow2') {
  return async () => {
    const path = mkdtempSync(join(directory, 'backend '));
    return {
      driver: fileDriver({ name: 'disks', directory: path, runner, format }),
      leftovers: () => filesIn(path),
      used: () => usedIn(path),
      live: format === 'raw' && await sharesBlocks(base),
      plant: async (name: string, bytes: number, content: Buffer) => {
        const made = await plantFile(path, name, bytes, content);
        if (format === 'qcow2') {
          execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', made, `${made}.qcow2`]);
          execFileSync('mv', [`${made}.qcow2`, made]);
        }
      },
    };
  };
}

blockConformance('file, raw', underTest(base, 'raw'));
blockConformance('file, qcow2', underTest(base, 'qcow2'));
