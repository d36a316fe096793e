import { copyFile, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunner } from '@cumulet/exec';
import { createContainer } from './qemu_img.ts';

export const MiB = 1 << 20;

const cluster = 65_536;
/**
 * A qcow2 image with nothing in it, made without qemu-img: what somebody uploads, or a guest writes into its disk. `size` is what it says of itself, in bytes (default 1 MiB);
 * `backing` and `dataFile` are paths that it names, `dataFile: true` says that there is one and names none; `length` is that of the file (default four clusters).
 */
export function qcow2(o: { readonly version?: 2 | 3; readonly size?: bigint; readonly backing?: string; readonly dataFile?: string | true; readonly length?: number } = {}): Buffer {
  const { version = 3, size = BigInt(MiB) } = o;
  const b = Buffer.alloc(o.length ?? 4 * cluster);
  b.write('QFI\xfb', 0, 'latin1');
  b.writeUInt32BE(version, 4);
  b.writeUInt32BE(16, 20);                                         // bits of a cluster's size
  b.writeBigUInt64BE(size, 24);
  const tables = (size + (1n << 29n) - 1n) >> 29n;                 // each of the first level's entries stands for 512 MiB
  b.writeUInt32BE(Number(tables < 2n ** 25n ? tables : 1n), 36);
  b.writeBigUInt64BE(BigInt(cluster), 40);
  b.writeBigUInt64BE(BigInt(2 * cluster), 48);
  b.writeUInt32BE(1, 56);
  if (version === 3) { b.writeUInt32BE(4, 96); b.writeUInt32BE(104, 100); }
  if (o.backing !== undefined) { b.writeBigUInt64BE(1_024n, 8); b.writeUInt32BE(o.backing.length, 16); b.write(o.backing, 1_024, 'latin1'); }
  if (o.dataFile !== undefined) b.writeBigUInt64BE(4n, 72);
  if (typeof o.dataFile === 'string') { b.writeUInt32BE(0x44415441, 104); b.writeUInt32BE(o.dataFile.length, 108); b.write(o.dataFile, 112, 'latin1'); }
  return b;
}

/** One small disk in every format that qemu-img makes, in a folder of its own; and ways to spoil them. For tests. */
export interface Samples {
  at(name: string): string;
  qemuImg(...args: string[]): Promise<void>;
  /** A new file of pieces. */
  write(name: string, ...parts: [offset: number, bytes: Buffer | string][]): Promise<string>;
  /** A copy of another file, with other bytes here and there. */
  patch(from: string, name: string, ...parts: [offset: number, bytes: Buffer][]): Promise<string>;
  remove(): Promise<void>;
}

export async function makeSamples(): Promise<Samples> {
  const dir = await mkdtemp(join(tmpdir(), 'cumulet-samples-'));
  const at = (name: string) => join(dir, name);
  const runner = createRunner({ log: { debug() {}, warn() {} } });
  const qemuImg = async (...args: string[]) => void await runner.run('qemu-img', args, { cwd: dir });
  const put = async (path: string, flags: string, parts: [offset: number, bytes: Buffer | string][]) => {
    const file = await open(path, flags);
    for (const [offset, bytes] of parts) await file.write(Buffer.from(bytes as string), 0, undefined, offset);
    await file.close();
    return path;
  };

  const data = Buffer.alloc(3 * MiB);
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE((i * 2654435761) >>> 0, i);
  await writeFile(at('data.raw'), data);
  await truncate(at('data.raw'), 16 * MiB);
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'data.raw', 'v3.qcow2');
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', 'compat=0.10', 'data.raw', 'v2.qcow2');
  await qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', 'data.raw', 'zstd.qcow2');
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', 'extended_l2=on,cluster_size=128k', 'data.raw', 'extl2.qcow2');
  await qemuImg('convert', '-f', 'raw', '-O', 'vmdk', 'data.raw', 'sparse.vmdk');
  await qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized', 'data.raw', 'stream.vmdk');
  await qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat', 'data.raw', 'flat.vmdk');
  await qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', 'data.raw', 'split.vmdk');
  await qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', 'data.raw', 'dynamic.vhd');
  await qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=fixed,force_size=on', 'data.raw', 'fixed.vhd');
  await qemuImg('convert', '-f', 'raw', '-O', 'vhdx', 'data.raw', 'x.vhdx');
  await qemuImg('convert', '-f', 'raw', '-O', 'vdi', 'data.raw', 'x.vdi');
  await qemuImg('create', '-f', 'qed', 'x.qed', '16M');
  await createContainer(runner, at('x.luks'), 16 * MiB, { secret: ['--object', 'secret,id=s,data=abcdefgh'], options: 'key-secret=s' });

  // A file whose base is another one: what no stranger may give us.
  await qemuImg('create', '-f', 'qcow2', '-b', 'v3.qcow2', '-F', 'qcow2', 'overlay.qcow2');
  await qemuImg('create', '-f', 'qcow2', '-o', 'data_file=secret.none,data_file_raw=on', 'datafile.qcow2', '16M');
  await qemuImg('create', '-f', 'qcow2', 'bomb.qcow2', '100T');

  return {
    at, qemuImg,
    write: (name, ...parts) => put(at(name), 'w', parts),
    async patch(from, name, ...parts) {
      await copyFile(at(from), at(name));
      return put(at(name), 'r+', parts);
    },
    remove: () => rm(dir, { recursive: true }),
  };
}
