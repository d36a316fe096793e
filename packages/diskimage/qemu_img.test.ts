import { execFileSync } from 'node:child_process';
import { copyFile, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunner, fakeRunner, ProgramFailed, ProgramKilled, type Runner, type RunOptions } from '@cumulet/exec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commit, convert, create, endOrphans, info, inspectFile, isLocked, map, openImage, renameBase, resize, UnsafeImage, type DiskFormat } from './index.ts';
import { createContainer } from './qemu_img.ts';
import { makeSamples, MiB, type Samples } from './testing.ts';

const runner = createRunner({ log: { debug() {}, warn() {} } });
let samples: Samples;
const at = (name: string) => samples.at(name);
beforeAll(async () => { samples = await makeSamples(); }, 120_000);
afterAll(() => samples.remove());

describe('qemu-img', { timeout: 120_000 }, () => {
  it('every call carries its format', async () => {
    const fake = fakeRunner({ 'qemu-img': ({ args }) => (args[0] === 'info' ? { stdout: '{"virtual-size":1048576}' } : args[0] === 'map' ? { stdout: '[]' } : {}) });
    const image = { path: at('data.raw'), format: 'raw' } as const;
    const overlay = { path: at('v3.qcow2'), format: 'qcow2' } as const;
    await info(fake, overlay);
    await create(fake, overlay, MiB, { backing: image });
    await resize(fake, overlay, 32 * MiB);
    await renameBase(fake, overlay, image);
    await commit(fake, overlay, image.path);
    await map(fake, overlay, { offset: 0, length: 1 });
    await convert(fake, { from: overlay, to: { path: at('never'), format: 'vhd' } }).catch(() => undefined);
    expect(fake.calls.length).toBeGreaterThanOrEqual(8);
    for (const { args, options } of fake.calls) {
      expect(args).toContain('-f');
      if (args.includes('-b') && args[0] !== 'commit') expect(args).toContain('-F');
      if (args[0] === 'convert') expect(args).toContain('-O');
      expect(options.limits?.memoryBytes).toBeGreaterThan(0);
      expect(options.limits?.cpuSeconds).toBeGreaterThan(0);
      expect((options as RunOptions).timeoutMs).toBeGreaterThan(0);
    }
    await expect(info(fake, { path: 'nbd:unix:/x', format: 'raw' })).rejects.toThrow(TypeError);
    await expect(info(fake, { path: 'json:{}', format: 'raw' })).rejects.toThrow(TypeError);
  });

  it.each<[string, DiskFormat]>([
    ['v3.qcow2', 'qcow2'], ['sparse.vmdk', 'vmdk'], ['stream.vmdk', 'vmdk'], ['dynamic.vhd', 'vhd'], ['fixed.vhd', 'vhd'], ['x.vhdx', 'vhdx'], ['x.vdi', 'vdi'], ['data.raw', 'raw'],
  ])('converts %s to raw and back', async (name, format) => {
    const raw = at(`${name}.out`);
    const seen: number[] = [];
    await convert(runner, { from: { path: at(name), format }, to: { path: raw, format: 'raw' }, progress: (done) => seen.push(done) });
    expect((await readFile(raw)).equals(await readFile(at('data.raw')))).toBe(true);
    expect(seen.at(-1)).toBe(16 * MiB);
    await convert(runner, { from: { path: raw, format: 'raw' }, to: { path: at(`${name}.back`), format }, compress: format === 'qcow2' || format === 'vmdk' });
    expect(await inspectFile(at(`${name}.back`))).toMatchObject({ format, problems: [] });
    expect((await stat(raw)).blocks * 512).toBeLessThan(8 * MiB);
  });

  it('grows the result, refuses an existing target, and leaves nothing of a failure', async () => {
    await convert(runner, { from: { path: at('v3.qcow2'), format: 'qcow2' }, to: { path: at('grown.raw'), format: 'raw' }, sizeBytes: 64 * MiB });
    expect((await stat(at('grown.raw'))).size).toBe(64 * MiB);
    await convert(runner, { from: { path: at('data.raw'), format: 'raw' }, to: { path: at('grown.qcow2'), format: 'qcow2' }, sizeBytes: 64 * MiB });
    expect(await info(runner, { path: at('grown.qcow2'), format: 'qcow2' })).toMatchObject({ virtualSize: 64 * MiB, backingFile: undefined });
    await expect(convert(runner, { from: { path: at('v3.qcow2'), format: 'qcow2' }, to: { path: at('grown.raw'), format: 'raw' } })).rejects.toThrow(/exists/);
    const gone = async (name: string) => expect(await stat(at(name)).catch(() => undefined)).toBeUndefined();
    await expect(convert(runner, { from: { path: at('v3.qcow2'), format: 'qcow2' }, to: { path: at('big.raw'), format: 'raw' }, limits: { fileSizeBytes: MiB } })).rejects.toSatisfy((error) => error instanceof ProgramKilled || error instanceof ProgramFailed);
    await gone('big.raw');
    const stop = new AbortController();
    const reason = new Error('cancelled');
    const going = convert(runner, { from: { path: at('v3.qcow2'), format: 'qcow2' }, to: { path: at('aborted.raw'), format: 'raw' }, signal: stop.signal });
    setTimeout(() => stop.abort(reason), 15);
    await expect(going).rejects.toBe(reason);
    await gone('aborted.raw');
  });

  it('does not open what is hostile, whoever calls', async () => {
    const tries = [at('datafile.qcow2'), at('overlay.qcow2'), at('bomb.qcow2')];
    for (const path of tries) await expect(convert(fakeRunner(), { from: { path, format: 'qcow2' }, to: { path: at('no.raw'), format: 'raw' } })).rejects.toThrow(UnsafeImage);
    await expect(convert(fakeRunner(), { from: { path: at('v3.qcow2'), format: 'raw' }, to: { path: at('no.raw'), format: 'raw' } })).rejects.toThrow(UnsafeImage);
    await expect(convert(fakeRunner(), { from: { path: at('v3.qcow2'), format: 'qcow2', maxVirtualSize: MiB }, to: { path: at('no.raw'), format: 'raw' } })).rejects.toThrow(UnsafeImage);
  });

  it('maps, and merges an overlay into its base, which may be named beside it', async () => {
    await create(runner, { path: at('base.qcow2'), format: 'qcow2' }, 16 * MiB);
    const base = at('base.qcow2');
    const [middle, top] = [at('middle.qcow2'), at('top.qcow2')];
    const q = (path: string) => ({ path, format: 'qcow2' }) as const;
    await create(runner, q(middle), 16 * MiB, { backing: q('base.qcow2') });
    await create(runner, q(top), 32 * MiB, { backing: q('middle.qcow2') });
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 9 4M 1M', middle]);
    const data = async () => (await map(runner, q(top), { offset: 0, length: 32 * MiB })).filter((entry) => !entry.zero);
    expect(await data()).toEqual([{ offset: 4 * MiB, length: MiB, zero: false }]);
    await copyFile(middle, at('renamed.qcow2'));
    await renameBase(runner, q(top), q('renamed.qcow2'));
    await rm(middle);
    expect(await data()).toEqual([{ offset: 4 * MiB, length: MiB, zero: false }]);
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 8 24M 1M', top]);
    await commit(runner, q(top), at('renamed.qcow2'));
    expect((await info(runner, q(at('renamed.qcow2'))))).toMatchObject({ virtualSize: 32 * MiB, backingFile: base });
    await rm(top);
    const merged = (await map(runner, q(at('renamed.qcow2')), { offset: 0, length: 32 * MiB })).filter((entry) => !entry.zero);
    expect(merged).toEqual([{ offset: 4 * MiB, length: MiB, zero: false }, { offset: 24 * MiB, length: MiB, zero: false }]);
    expect((await map(runner, q(base), { offset: 0, length: 16 * MiB })).filter((entry) => !entry.zero)).toEqual([]);
    await expect(create(runner, q(at('x')), MiB, { backing: q('nbd:x') })).rejects.toThrow(TypeError);
    await expect(create(runner, q(at('x')), MiB, { backing: q('../x') })).rejects.toThrow(TypeError);
  });

  it.each<DiskFormat>(['raw', 'qcow2'])('reads and writes the content of a %s image', async (format) => {
    const image = { path: at(`access.${format}`), format };
    await create(runner, image, 16 * MiB);
    const writing = await openImage(runner, image);
    expect(writing.size).toBe(16 * MiB);
    const piece = Buffer.alloc(3 * MiB, 5);
    await Promise.all([writing.write(MiB, piece), writing.write(10 * MiB, piece)]);
    await writing.zero(2 * MiB, MiB);
    await writing.flush();
    expect((await writing.read(MiB, 3 * MiB)).equals(Buffer.concat([piece.subarray(0, MiB), Buffer.alloc(MiB), piece.subarray(0, MiB)]))).toBe(true);
    await expect(writing.write(16 * MiB, piece)).rejects.toMatchObject({ code: expect.stringMatching(/ENOSPC|EINVAL/) });
    await writing.close();
    await writing.close();
    await expect(writing.read(0, 1)).rejects.toThrow();
    const reading = await openImage(runner, image, { readOnly: true });
    expect((await reading.read(10 * MiB, 3 * MiB)).equals(piece)).toBe(true);
    await expect(reading.write(0, piece)).rejects.toMatchObject({ code: expect.stringMatching(/EPERM|EINVAL/) });
    await reading.close();
    const stop = new AbortController();
    const cut = await openImage(runner, image, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect((async () => { for (;;) await cut.read(0, MiB); })()).rejects.toThrow();
    await cut.close();
    await expect(openImage(runner, { path: at('none'), format })).rejects.toMatchObject({ stderr: expect.stringContaining('No such file') });
  });

  it('ends a server whose starter was killed before anybody was connected', async () => {
    const image = { path: at('orphan.qcow2'), format: 'qcow2' } as const;
    await create(runner, image, MiB);
    const left = join(tmpdir(), 'cumulet-nbd-4194303-1-test');
    execFileSync('mkdir', [left]);
    const orphan = await runner.spawn('qemu-nbd', ['-f', 'qcow2', '-k', join(left, 's'), image.path], { onLine() {} });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const access = await openImage(runner, image);
    await access.close();
    expect(await orphan.exit).toMatchObject({ exitCode: 0 });
    expect(await stat(left).catch(() => undefined)).toBeUndefined();
    expect(await endOrphans()).toBe(0);
  });

  it('knows the error of an image that a QEMU has open', async () => {
    const writer = await runner.spawn('qemu-io', ['-f', 'qcow2', at('base.qcow2')], { stdin: 'pipe', onLine() {} });
    try {
      await new Promise((resolve) => setTimeout(resolve, 500));
      for (const attempt of [
        () => resize(runner, { path: at('base.qcow2'), format: 'qcow2' }, 32 * MiB),
        () => openImage(runner, { path: at('base.qcow2'), format: 'qcow2' }),
        () => openImage(runner, { path: at('base.qcow2'), format: 'qcow2' }, { readOnly: true }),
        () => convert(runner, { from: { path: at('base.qcow2'), format: 'qcow2' }, to: { path: at('no.raw'), format: 'raw' } }),
      ]) expect(isLocked(await (attempt() as Promise<unknown>).catch((failure: unknown) => failure))).toBe(true);
    } finally {
      await writer.stop();
    }
  });
});

it('a LUKS container is tried again when QEMU could not read the clock, and only then', async () => {
  const failing = (times: number, stderr: string) => fakeRunner({ 'qemu-img': () => (times-- > 0 ? { exitCode: 1, stderr } : {}) });
  const make = (runner: Runner) => createContainer(runner, '/x', MiB, { secret: [], options: '' });
  const clock = failing(3, 'qemu-img: /x: Unable to get accurate CPU usage\n');
  await make(clock);
  expect(clock.calls).toHaveLength(4);
  await expect(make(failing(99, 'qemu-img: /x: Unable to get accurate CPU usage\n'))).rejects.toThrow(ProgramFailed);
  const full = failing(1, 'qemu-img: /x: No space left on device\n');
  await expect(make(full)).rejects.toThrow(ProgramFailed);
  expect(full.calls).toHaveLength(1);
});

it('no other package starts qemu-img', () => {
  const said = execFileSync('git', ['grep', '-lE', `(run|spawn)\\([^)]*['"]qemu-img['"]`, '--', 'packages/**/*.ts'], { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' });
  expect(said.trim().split('\n').filter((file) => !/(\.test|\/testing)\.ts$/.test(file))).toEqual(['packages/diskimage/qemu_img.ts']);
});
