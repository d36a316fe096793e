import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, openSync, closeSync, ftruncateSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zstdCompressSync } from 'node:zlib';
import type { Runner } from '@cumulet/exec';
import { guestPackages } from '../../../setup/cache.mjs';
import { guest } from '../../../setup/packages.mjs';
import { cpio } from './cpio.ts';
import { bootFileSystem, kernelVersion, recipeFiles, rootFileSystem, type Unpacked } from './filesystems.ts';
import { masterBootRecord, sectorBytes } from './partitions.ts';

const MiB = 1 << 20;
/** Boot files on FAT, because its boot loader can be installed without mounting anything; the root comes last, so that it can grow. */
const boot = { start: MiB, size: 20 * MiB };
const root = { start: boot.start + boot.size, size: 75 * MiB };
const bootCode = '/usr/lib/syslinux/mbr/mbr.bin';

/**
 * The demo guest: a qcow2 of about 20 MB with a Debian kernel, busybox, an SSH server and the QEMU agent. Built in about
 * five seconds from packages that `setup/` downloaded, without mounts and without being root; built once for each recipe.
 * Throws when something for it is missing.
 */
export async function guestImage(runner: Runner, cache: string): Promise<string> {
  const image = join(cache, `guest-${recipe()}.qcow2`);
  if (existsSync(image)) return image;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'cumulet-guest-'));
  try {
    const disk = join(work, 'disk.raw');
    await writeDisk(runner, await unpack(runner, guestPackages(cache), work), work, disk);
    const made = join(mkdtempSync(join(cache, 'making-')), 'guest.qcow2');
    await runner.run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', disk, made]);
    renameSync(made, image);
    rmSync(join(made, '..'), { recursive: true });
    return image;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function recipe(): string {
  const hash = createHash('sha256');
  for (const [name, content] of recipeFiles()) hash.update(`${name} ${content.length}\n`).update(content);
  return hash.digest('hex').slice(0, 12);
}

async function unpack(runner: Runner, packages: string, work: string): Promise<Unpacked> {
  const unpacked = { parts: join(work, 'parts'), static: join(work, 'static') };
  const files = existsSync(packages) ? readdirSync(packages) : [];
  for (const start of ['linux-image-', ...guest.names.map((name) => `${name}_`)]) {
    const file = files.find((f) => f.startsWith(start) && f.endsWith('.deb'));
    if (!file) throw new Error(`its Debian packages are not there (${start.replace(/[-_]$/, '')})`);
    await runner.run('dpkg-deb', ['--extract', join(packages, file), file.startsWith('busybox-static_') ? unpacked.static : unpacked.parts]);
  }
  return unpacked;
}

async function writeDisk(runner: Runner, from: Unpacked, work: string, disk: string): Promise<void> {
  const folders = { root: join(work, 'root'), boot: join(work, 'boot') };
  await rootFileSystem(runner, from, folders.root);
  await bootFileSystem(runner, from, folders.boot);
  const initrd = join(work, 'initrd.img');
  writeFileSync(initrd, zstdCompressSync(cpio(folders.boot)));

  const sectors = (p: { start: number; size: number }) => ({ start: p.start / sectorBytes, sectors: p.size / sectorBytes });
  const file = openSync(disk, 'w');
  ftruncateSync(file, root.start + root.size);
  writeSync(file, masterBootRecord(readFileSync(bootCode), [{ ...sectors(boot), type: 0x0e, bootable: true }, { ...sectors(root), type: 0x83, bootable: false }]));
  closeSync(file);

  const start = String(boot.start / sectorBytes);
  await runner.run('mkfs.vfat', ['-F', '16', '-n', 'GUESTBOOT', '-h', start, `--offset=${start}`, disk, String(boot.size / 1024)]);
  const config = fileURLToPath(new URL('syslinux.cfg', import.meta.url));
  for (const [source, name] of [[join(from.parts, `boot/vmlinuz-${kernelVersion(from)}`), 'vmlinuz'], [initrd, 'initrd.img'], [config, 'syslinux.cfg']] as const) {
    await runner.run('mcopy', ['-i', `${disk}@@${boot.start}`, source, `::/${name}`], { env: { MTOOLS_SKIP_CHECK: '1' } });
  }
  await runner.run('syslinux', ['--offset', String(boot.start), '--install', disk]);
  await runner.run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', '-L', 'guest-root', '-O', '^64bit,^metadata_csum', '-m', '0', '-J', 'size=4',
    '-E', `offset=${root.start},root_owner=0:0`, '-d', folders.root, disk, `${root.size / 1024}k`]);
}
