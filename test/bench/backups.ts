import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { plainCall, silent } from '../../packages/drivers/index.ts';
import { posixBackupDriver, sourceOf, targetOf, type BackupRef } from '../../packages/drivers/backup/index.ts';
import { fileDriver } from '../../packages/drivers/block/index.ts';
import { createRunner } from '../../packages/exec/index.ts';

const MiB = 1 << 20;
const call = plainCall();

export interface BackupFigures {
  readonly what: string;
  readonly seconds: number;
  /** Of the data, not of the volume. */
  readonly MBps: number;
  /** Of processors, all threads together. */
  readonly cpu: number;
  /** The most that this process held above what it had before, in MiB. */
  readonly memoryMiB: number;
}

/** The engine alone, file to directory: volumes of half random and half packable bytes, with holes between. */
export async function backupFigures(folder: string, sizes: readonly { readonly sizeGiB: number; readonly dataMiB: number }[]): Promise<BackupFigures[]> {
  const volumes = join(folder, 'volumes');
  mkdirSync(volumes, { recursive: true });
  const block = fileDriver({ name: 'bench', directory: volumes, runner: createRunner({ log: silent }), format: 'raw' });
  await block.check(call);
  const target = posixBackupDriver({ directory: join(folder, 'backups') });
  const figures: BackupFigures[] = [];
  const measure = async <T>(what: string, megabytes: number, work: () => Promise<T>): Promise<T> => {
    const before = process.memoryUsage().rss;
    let most = before;
    const watch = setInterval(() => { most = Math.max(most, process.memoryUsage().rss); }, 20);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    try {
      return await work();
    } finally {
      clearInterval(watch);
      const seconds = (performance.now() - began) / 1000;
      const used = process.cpuUsage(cpu);
      figures.push({ what, seconds, cpu: (used.user + used.system) / 1e6, MBps: megabytes / seconds, memoryMiB: (most - before) / MiB });
    }
  };
  for (const { sizeGiB, dataMiB } of sizes) {
    const title = `${sizeGiB} GiB holding ${dataMiB} MiB`;
    const volume = { name: `volume-${randomUUID()}`, sizeGiB };
    await block.volumes.create(call, volume);
    const file = await open(join(volumes, volume.name), 'r+');
    const every = Math.floor(sizeGiB * 1024 / (dataMiB / 32)) * MiB;
    for (let n = 0; n < dataMiB / 32; n += 1) await file.write(n % 2 ? randomBytes(32 * MiB) : Buffer.alloc(32 * MiB, `line ${n} of a log that says the same again and again\n`), 0, 32 * MiB, n * every);
    await file.sync();
    await file.close();
    const refOf = (parent?: BackupRef): BackupRef => {
      const id = randomUUID();
      return { id, volumeId: volume.name.slice(7), parentId: parent?.id ?? null, ...target.place({ id, volumeId: volume.name.slice(7), container: null }, new Date()) };
    };
    const make = (backup: BackupRef, parent?: BackupRef) => target.backup(call, {
      backup, source: sourceOf(block.data, volume), moment: 'bench', name: null, description: null, createdAt: new Date(), volumeMeta: null, ...(parent && { parent }),
    });
    const full = refOf();
    await measure(`create, ${title}`, dataMiB, () => make(full));
    const next = refOf(full);
    await measure(`incremental of nothing, ${title}`, dataMiB, () => make(next, full));
    const other = { name: `volume-${randomUUID()}`, sizeGiB };
    await block.volumes.create(call, other);
    await measure(`restore, ${title}`, dataMiB, () => target.restore(call, { chain: [full, next], target: targetOf(block.data, other, { fresh: true }) }));
    await measure(`verify, ${title}`, dataMiB, () => target.verify(call, [full, next], { depth: 'data' }));
    for (const one of [next, full]) await target.delete(call, one);
    for (const one of [volume, other]) await block.volumes.delete(call, one);
  }
  await target.close();
  return figures;
}

export const backupTable = (figures: readonly BackupFigures[]): string =>
  ['| backups, file to directory | s | CPU s | MB/s of data | memory, MiB |', '|---|---|---|---|---|', ...figures.map((f) => `| ${f.what} | ${f.seconds.toFixed(1)} | ${f.cpu.toFixed(1)} | ${f.MBps.toFixed(0)} | ${f.memoryMiB.toFixed(0)} |`)].join('\n');
