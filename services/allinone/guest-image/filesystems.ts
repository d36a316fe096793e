import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Runner } from '@cumulet/exec';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** For the boot: enough to find the root partition on any disk that QEMU can give. */
const bootModules = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'ata_piix', 'ahci'];
const allModules = [...bootModules, 'virtio_net', 'virtio_console', 'virtio_balloon', 'virtio-rng', 'sr_mod', 'isofs', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859-1',
  'evdev', 'button', 'failover', 'net_failover', '8021q'];

/** What the Debian packages unpacked to: `static` has the busybox of busybox-static, `parts` everything else. */
export interface Unpacked {
  readonly parts: string;
  readonly static: string;
}

/** The kernel's version, from the folder of its modules. */
export function kernelVersion({ parts }: Unpacked): string {
  const [version] = readdirSync(join(parts, 'lib/modules'));
  if (!version) throw new Error('the kernel package holds no modules');
  return version;
}

/** Fills `folder` with the guest's root file system. */
export async function rootFileSystem(runner: Runner, from: Unpacked, folder: string): Promise<void> {
  for (const path of ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'etc/dropbear', 'dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'root/.ssh', 'home', 'var/lib', 'var/log', 'lib64', libraries]) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  symlinkSync('/run', join(folder, 'var/run'));
  chmodSync(join(folder, 'tmp'), 0o1777);
  for (const secret of ['root', 'root/.ssh']) chmodSync(join(folder, secret), 0o700);
  cpSync(here('root'), folder, { recursive: true });
  chmodSync(join(folder, 'etc/shadow'), 0o600);

  const programs = {
    'bin/busybox': join(from.parts, 'bin/busybox'),
    'usr/sbin/dropbear': join(from.parts, 'usr/sbin/dropbear'),
    'usr/bin/dropbearkey': join(from.parts, 'usr/bin/dropbearkey'),
    'usr/sbin/qemu-ga': join(from.parts, 'usr/sbin/qemu-ga'),
    'usr/sbin/resize2fs': realpathSync('/sbin/resize2fs'),
    // busybox makes ext2 only, and tells less of devices.
    'usr/sbin/mke2fs': realpathSync('/sbin/mke2fs'),
    'usr/sbin/blkid': realpathSync('/sbin/blkid'),
    'usr/bin/lsblk': realpathSync('/bin/lsblk'),
  };
  for (const [to, source] of Object.entries(programs)) copyFileSync(source, join(folder, to));
  await copyLibraries(runner, from, Object.keys(programs).map((p) => join(folder, p)), folder);

  const { stdout } = await runner.run(join(from.static, 'bin/busybox'), ['--list']);
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
  // Ours are better where there are both.
  const taken = new Set(['sbin', 'usr/bin', 'usr/sbin'].flatMap((path) => readdirSync(join(folder, path))));
  for (const name of applets) if (!taken.has(name)) symlinkSync('/bin/busybox', join(folder, 'bin', name));
  symlinkSync('/bin/busybox', join(folder, 'sbin/init'));
  symlinkSync('mke2fs', join(folder, 'usr/sbin/mkfs.ext4'));
  await copyModules(runner, from, allModules, folder);
}

/** Fills `folder` with what the kernel starts in. */
export async function bootFileSystem(runner: Runner, from: Unpacked, folder: string): Promise<void> {
  for (const path of ['bin', 'dev', 'proc', 'sys', 'new']) mkdirSync(join(folder, path), { recursive: true });
  copyFileSync(join(from.static, 'bin/busybox'), join(folder, 'bin/busybox'));
  copyFileSync(here('initramfs/init'), join(folder, 'init'));
  await copyModules(runner, from, bootModules, folder);
}

const libraries = 'lib/x86_64-linux-gnu';

/** What the programs are linked with. Packages' own libraries come first, the C library is the host's: it is the same Debian. */
async function copyLibraries(runner: Runner, from: Unpacked, programs: readonly string[], folder: string): Promise<void> {
  const loader = '/lib64/ld-linux-x86-64.so.2';
  copyFileSync(realpathSync(loader), join(folder, loader));
  const found = new Set<string>();
  for (const program of programs) {
    const { stdout } = await runner.run(loader, ['--list', program], { env: { LD_LIBRARY_PATH: join(from.parts, 'usr', libraries) } });
    for (const [, library] of stdout.matchAll(/=> (\/\S+)/g)) found.add(library!);
    if (/not found/.test(stdout)) throw new Error(`${basename(program)} needs a library that this host does not have`);
  }
  for (const library of found) copyFileSync(realpathSync(library), join(folder, libraries, basename(library)));
}

/** Copies kernel modules with all that they need, and their index. */
async function copyModules(runner: Runner, from: Unpacked, names: readonly string[], folder: string): Promise<void> {
  const version = kernelVersion(from);
  const source = join(from.parts, 'lib/modules', version);
  if (!existsSync(join(source, 'modules.dep'))) await runner.run('depmod', ['--basedir', from.parts, version]);
  const needs = new Map(readFileSync(join(source, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => {
    const [file = '', others = ''] = line.split(':');
    return [basename(file).replace(/\.ko.*$/, '').replaceAll('-', '_'), [file, ...others.trim().split(/\s+/).filter(Boolean)]] as const;
  }));
  const target = join(folder, 'lib/modules', version);
  // A module that is not there is built into the kernel.
  for (const file of new Set(names.flatMap((name) => needs.get(name.replaceAll('-', '_')) ?? []))) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    copyFileSync(join(source, file), join(target, file));
  }
  mkdirSync(target, { recursive: true });
  for (const index of ['modules.order', 'modules.builtin']) copyFileSync(join(source, index), join(target, index));
  await runner.run('depmod', ['--basedir', folder, version]);
}

/** Everything that the image depends on in this folder, by name: tells one recipe from another. */
export const recipeFiles = (): [name: string, content: Buffer][] => readdirSync(here('.'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
  .map((entry): [string, Buffer] => [relative(here('.'), join(entry.parentPath, entry.name)), readFileSync(join(entry.parentPath, entry.name))])
  .toSorted(([a], [b]) => (a < b ? -1 : 1));
