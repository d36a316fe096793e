import { constants } from 'node:fs';
import { chmod, mkdir, open, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { convert, create, info, resize, type ImageAt } from '@cumulet/diskimage';
import { ProgramError, ProgramMissing, type Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { exists, fromErrno } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { ConfigDrive, EphemeralDisk, ServerSpec } from '../spec.ts';

const GiB = 2 ** 30;
const MiB = 2 ** 20;

/** Makes the files of a server's folder. Each appears complete under its name or not at all, and one that is there is kept. */
export class Files {
  readonly #runner: Runner;
  constructor(runner: Runner) {
    this.#runner = runner;
  }

  /** Everything that the spec needs in `folder`. */
  async build(call: Call, folder: string, spec: ServerSpec): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o711 });
    if (spec.root.kind === 'image') {
      const { imageFormat, imagePath, sizeGiB } = spec.root;
      if (imageFormat === 'iso') {
        if (sizeGiB > 0) await this.once(join(folder, 'disk'), (path) => this.#blank(call, path, sizeGiB * GiB));
        else await readable(imagePath);
      } else {
        await this.once(join(folder, 'disk'), (path) => this.#overlay(call, path, { path: imagePath, format: imageFormat }, sizeGiB * GiB));
      }
    }
    for (const [i, ephemeral] of (spec.ephemerals ?? []).entries()) {
      await this.once(join(folder, `disk.eph${i}`), (path) => this.#ephemeral(call, path, ephemeral, i));
    }
    if ((spec.swapMiB ?? 0) > 0) await this.once(join(folder, 'disk.swap'), (path) => this.swap(call, path, spec.swapMiB ?? 0));
    const drive = spec.configDrive;
    if (drive !== undefined) await this.once(join(folder, 'disk.config'), (path) => this.#configDrive(call, path, drive));
    if (spec.rescue !== undefined) await this.buildRescue(call, folder, spec);
  }

  async buildRescue(call: Call, folder: string, spec: ServerSpec): Promise<void> {
    const { rescue } = spec;
    if (rescue === undefined) return;
    // a CD too: its overlay is never written to, and looks the same to the domain
    await this.once(join(folder, 'disk.rescue'), (path) => this.#overlay(call, path, { path: rescue.imagePath, format: rescue.imageFormat }, 0));
    const drive = rescue.configDrive;
    if (drive !== undefined) await this.once(join(folder, 'disk.config.rescue'), (path) => this.#configDrive(call, path, drive));
  }

  /** Runs `make` on a name beside `path` and renames; nothing when `path` is there. */
  async once(path: string, make: (path: string) => Promise<void>): Promise<void> {
    if (await exists(path)) return;
    const part = `${path}.part`;
    await rm(part, { force: true });
    try {
      await make(part);
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw fromErrno(error, 'A disk of the server could not be made');
    }
  }

  async #overlay(call: Call, path: string, backing: ImageAt, sizeBytes: number): Promise<void> {
    await readable(backing.path);
    // a base may be shared by every server of the host: nothing, not even a mistake, may write to it
    await chmod(backing.path, 0o444);
    const base = await this.virtualSize(call, backing);
    if (sizeBytes > 0 && base > sizeBytes) {
      throw new DriverError('invalid', `The image needs ${Math.ceil(base / GiB)} GiB, more than the root disk of the flavor.`);
    }
    await this.#image(create(this.#runner, { path, format: 'qcow2' }, Math.max(base, sizeBytes), { backing, signal: call.signal }));
  }

  async #blank(call: Call, path: string, sizeBytes: number): Promise<void> {
    await this.#image(create(this.#runner, { path, format: 'qcow2' }, sizeBytes, { signal: call.signal }));
  }

  async #ephemeral(call: Call, path: string, disk: EphemeralDisk, index: number): Promise<void> {
    await sparse(path, disk.sizeGiB * GiB);
    const label = `ephemeral${index}`;
    const format = disk.guestFormat ?? 'ext4';
    if (format === 'none') return;
    if (format === 'vfat') await this.#program(call, 'mkfs.vfat', ['-n', label.toUpperCase().slice(0, 11), path]);
    else await this.#program(call, `mkfs.${format}`, ['-q', '-F', '-L', label, path]);
  }

  async swap(call: Call, path: string, sizeMiB: number): Promise<void> {
    await sparse(path, sizeMiB * MiB);
    await this.#program(call, 'mkswap', ['-L', 'swap0', path]);
  }

  /** An ISO labelled `config-2`: cloud-init looks for that label. */
  async #configDrive(call: Call, path: string, drive: ConfigDrive): Promise<void> {
    if ('path' in drive) {
      await readable(drive.path);
      await this.#program(call, 'cp', ['--sparse=always', '--', drive.path, path]);
      return;
    }
    const tree = join(dirname(path), `.config-${randomUUID()}`);
    try {
      await mkdir(tree, { mode: 0o700 });
      for (const [name, content] of Object.entries(drive.files)) {
        const file = join(tree, name);
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, typeof content === 'string' ? content : Buffer.from(content.base64, 'base64'));
      }
      const args = ['-o', path, '-ldots', '-allow-lowercase', '-allow-multidot', '-l', '-publisher', 'Cumulet', '-quiet', '-J', '-r', '-V', 'config-2', tree];
      await this.#iso(call, args);
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  }

  async #iso(call: Call, args: string[]): Promise<void> {
    for (const [program, first] of [['genisoimage', []], ['mkisofs', []], ['xorriso', ['-as', 'mkisofs']]] as const) {
      try {
        // xorriso has no -ldots and needs none
        await this.#runner.run(program, [...first, ...(program === 'xorriso' ? args.filter((a) => !['-ldots', '-allow-lowercase', '-allow-multidot', '-l'].includes(a)) : args)], { signal: call.signal });
        return;
      } catch (error) {
        if (!(error instanceof ProgramMissing)) throw failed(error, 'The config drive could not be made.');
      }
    }
    throw new DriverError('unsupported', 'This host has no program that makes config drives (genisoimage or xorriso).');
  }

  /** In bytes. The file may be open in a running guest: only its header is read. */
  async virtualSize(call: Call, image: ImageAt): Promise<number> {
    return (await this.#image(info(this.#runner, image, { signal: call.signal }))).virtualSize;
  }

  async hasBase(call: Call, image: ImageAt): Promise<boolean> {
    return (await this.#image(info(this.#runner, image, { signal: call.signal }))).backingFile !== undefined;
  }

  /** Grows, never shrinks. */
  async grow(call: Call, image: ImageAt, sizeBytes: number): Promise<void> {
    if ((await this.virtualSize(call, image)) < sizeBytes) await this.#image(resize(this.#runner, image, sizeBytes, { signal: call.signal }));
  }

  /** A flat copy of one of the server's own disks, which must not be written to meanwhile. */
  async flatten(call: Call, from: ImageAt, to: ImageAt): Promise<void> {
    await this.#image(convert(this.#runner, { from: { ...from, trusted: true }, to, signal: call.signal, progress: (done, total) => call.progress(done, total) }));
  }

  /** A folder's disks, holes kept, shared blocks where the file system can. */
  async copyFolder(call: Call, from: string, to: string): Promise<void> {
    const part = `${to}.part`;
    await rm(part, { recursive: true, force: true });
    await this.#program(call, 'cp', ['-a', '--reflink=auto', '--sparse=always', '--', from, part], 0);
    await rename(part, to);
  }

  async #image<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw failed(error, 'A disk of the server could not be made.');
    }
  }

  async #program(call: Call, program: string, args: string[], timeoutMs?: number): Promise<void> {
    try {
      await this.#runner.run(program, args, { signal: call.signal, ...(timeoutMs !== undefined && { timeoutMs }) });
    } catch (error) {
      throw failed(error, 'A disk of the server could not be made.');
    }
  }
}

/** A program's failure in the driver's words; a cancel stays what it is. */
function failed(error: unknown, message: string): unknown {
  if (!(error instanceof ProgramError)) return error;
  if (error instanceof ProgramMissing) return new DriverError('unsupported', `${message} ${error.program} is not installed on this host.`, { cause: error });
  const kind = /no space left|ENOSPC/i.test(error.stderr) ? 'full' : 'broken';
  return new DriverError(kind, kind === 'full' ? 'No space is left on the hypervisor.' : message, { detail: `${error.message} ${error.stderr}`.slice(0, 1_000), cause: error });
}

async function readable(path: string): Promise<void> {
  await stat(path).catch((error: unknown) => {
    throw new DriverError('invalid', 'The image of the server is not on this host.', { detail: path, cause: error });
  });
}

async function sparse(path: string, sizeBytes: number): Promise<void> {
  await (await open(path, 'w', 0o600)).close();
  await truncate(path, sizeBytes);
}

/** Whether a folder's file system can bypass the page cache. */
export async function hasDirectIo(folder: string): Promise<boolean> {
  const path = join(folder, `.direct-${randomUUID()}`);
  try {
    await (await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT)).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false;
    throw error;
  } finally {
    await rm(path, { force: true });
  }
}
