import { execFileSync } from 'node:child_process';
import { copyFile, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createReadStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createRunner, fakeRunner, ProgramFailed, ProgramKilled } from '@cumulet/exec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assertSafe, commit, convert, create, createInspector, endOrphans, info, inspectFile, inspectStream, isLocked, map, openImage, renameBase, resize, UnsafeImage, type DiskFormat, type Found } from './index.ts';

const MiB = 1 << 20;
const runner = createRunner({ log: { debug() {}, warn() {} } });
const dir = mkdtempSync(join(tmpdir(), 'storage-diskimage-'));
afterAll(() => rm(dir, { recursive: true }));
const at = (name: string) => join(dir, name);
const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { cwd: dir, stdio: 'pipe' });

/** The same bytes as a stream in awkward pieces: both ways of looking must agree. */
async function look(path: string): Promise<Found> {
  const found = await inspectFile(path);
  const small = (await stat(path)).size < 4 * MiB;
  for (const piece of small ? [1 << 16, 1009, 64 * 1024 + 1] : [1 << 20, 300_007]) {
    const stream = inspectStream();
    let bytes = 0;
    await pipeline(createReadStream(path, { highWaterMark: piece }), stream, async (out) => { for await (const chunk of out) bytes += (chunk as Buffer).length; });
    expect(stream.found).toEqual(found);
    expect(bytes).toBe(found.actualSize);
  }
  return found;
}
const write = async (name: string, ...parts: [offset: number, bytes: Buffer | string][]) => {
  const file = await open(at(name), 'w');
  for (const [offset, bytes] of parts) await file.write(Buffer.from(bytes as string), 0, undefined, offset);
  await file.close();
  return at(name);
};
const patch = async (from: string, name: string, ...parts: [offset: number, bytes: Buffer][]) => {
  await copyFile(at(from), at(name));
  const file = await open(at(name), 'r+');
  for (const [offset, bytes] of parts) await file.write(bytes, 0, undefined, offset);
  await file.close();
  return at(name);
};
const u32be = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes; };
const u64be = (value: bigint) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(value); return bytes; };
const u64le = (value: bigint) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(value); return bytes; };
const u32le = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };

beforeAll(async () => {
  const data = Buffer.alloc(3 * MiB);
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE((i * 2654435761) >>> 0, i);
  await writeFile(at('data.raw'), data);
  await truncate(at('data.raw'), 16 * MiB);
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'data.raw', 'v3.qcow2');
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', 'compat=0.10', 'data.raw', 'v2.qcow2');
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', 'data.raw', 'zstd.qcow2');
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', 'extended_l2=on,cluster_size=128k', 'data.raw', 'extl2.qcow2');
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', 'data.raw', 'sparse.vmdk');
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized', 'data.raw', 'stream.vmdk');
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat', 'data.raw', 'flat.vmdk');
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', 'data.raw', 'split.vmdk');
  qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', 'data.raw', 'dynamic.vhd');
  qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=fixed,force_size=on', 'data.raw', 'fixed.vhd');
  qemuImg('convert', '-f', 'raw', '-O', 'vhdx', 'data.raw', 'x.vhdx');
  qemuImg('convert', '-f', 'raw', '-O', 'vdi', 'data.raw', 'x.vdi');
  qemuImg('create', '-f', 'qed', 'x.qed', '16M');
  qemuImg('create', '-f', 'luks', '--object', 'secret,id=s,data=abcdefgh', '-o', 'key-secret=s', 'x.luks', '16M');
});

describe('harmless images', () => {
  it.each<[string, string, string]>([
    ['data.raw', 'raw', 'raw'], ['v3.qcow2', 'qcow2', 'qcow2'], ['v2.qcow2', 'qcow2', 'qcow2'], ['zstd.qcow2', 'qcow2', 'qcow2'], ['extl2.qcow2', 'qcow2', 'qcow2'],
    ['sparse.vmdk', 'vmdk', 'vmdk'], ['stream.vmdk', 'vmdk', 'vmdk'], ['dynamic.vhd', 'vhd', 'vhd'], ['fixed.vhd', 'vhd', 'vhd'],
    ['x.vhdx', 'vhdx', 'vhdx'], ['x.vdi', 'vdi', 'vdi'],
  ])('%s is %s', async (name, format, declared) => {
    const found = await look(at(name));
    expect(found).toMatchObject({ format, problems: [], virtualSize: 16 * MiB });
    assertSafe(found, declared);
  });

  it('knows isos, also hybrid ones, and partition tables', async () => {
    const iso = await look(await write('plain.iso', [32_768, Buffer.from('\x01CD001\x01')], [80_000, 'x']));
    expect(iso).toMatchObject({ format: 'iso', problems: [], partitionTable: undefined });
    assertSafe(iso, 'iso');
    assertSafe(iso, 'raw');
    const entry = Buffer.alloc(16);
    entry[4] = 0xee;
    const hybrid = await look(await write('hybrid.iso', [446, entry], [510, Buffer.from([0x55, 0xaa])], [512, 'EFI PART'], [32_768, Buffer.from('\x01CD001\x01')], [80_000, 'x']));
    expect(hybrid).toMatchObject({ format: 'iso', problems: [], partitionTable: 'gpt' });
    assertSafe(hybrid, 'iso');
    const disk = await look(await write('mbr.raw', [446, entry], [510, Buffer.from([0x55, 0xaa])]));
    expect(disk).toMatchObject({ format: 'raw', partitionTable: 'mbr' });
  });

  it('takes ami, aki, ari and ploop for raw bytes, and luks for luks', async () => {
    const raw = await look(at('data.raw'));
    for (const declared of ['ami', 'aki', 'ari', 'ploop']) assertSafe(raw, declared);
    const luks = await look(at('x.luks'));
    expect(luks.format).toBe('luks');
    assertSafe(luks, 'luks');
    expect(() => assertSafe(luks, 'raw')).toThrow(UnsafeImage);
    const ploop = await look(await write('x.ploop', [0, 'WithouFreSpacExt'], [4096, 'x']));
    assertSafe(ploop, 'ploop');
    expect(() => assertSafe(ploop, 'raw')).toThrow(UnsafeImage);
  });

  it('copes with an empty and with a tiny image', async () => {
    expect(await look(await write('empty'))).toMatchObject({ format: 'raw', virtualSize: 0, problems: [] });
    expect(await look(await write('tiny', [0, 'x']))).toMatchObject({ format: 'raw', virtualSize: 1 });
  });
});

describe('hostile images (CONTRACT section 4)', () => {
  const refused = async (path: string, declared: string, message: RegExp) => {
    const found = await look(path);
    expect(() => assertSafe(found, declared)).toThrow(UnsafeImage);
    expect(() => assertSafe(found, declared)).toThrow(message);
    return found;
  };

  it('1 CVE-2024-32498: qcow2 with an external data file, by flag or by extension only', async () => {
    qemuImg('create', '-f', 'qcow2', '-o', 'data_file=secret.none,data_file_raw=on', 'datafile.qcow2', '16M');
    await refused(at('datafile.qcow2'), 'qcow2', /external data file/);
    // The feature bit cleared, the name left in the header.
    await refused(await patch('datafile.qcow2', 'datafile2.qcow2', [72, u64be(0n)]), 'qcow2', /external data file/);
    await refused(await patch('v3.qcow2', 'datafile3.qcow2', [72, u64be(4n)]), 'qcow2', /external data file/);
    // Extensions that never end hide nothing.
    await refused(await patch('v3.qcow2', 'endless.qcow2', [112, u32be(0x11111111)], [116, u32be(0xfffffff0)]), 'qcow2', /malformed/);
  });

  it('2 CVE-2024-40767: anything else labelled raw', async () => {
    for (const name of ['v3.qcow2', 'v2.qcow2', 'sparse.vmdk', 'flat.vmdk', 'stream.vmdk', 'dynamic.vhd', 'fixed.vhd', 'x.vhdx', 'x.vdi', 'x.qed']) {
      await refused(at(name), 'raw', /declared as raw but/);
      expect(() => assertSafe({ format: 'raw', formats: [], virtualSize: 1, actualSize: 1, partitionTable: undefined, problems: [] }, name)).toThrow(/not supported/);
    }
    await refused(at('data.raw'), 'qcow2', /declared as qcow2 but its content is raw/);
    await refused(at('v3.qcow2'), 'vmdk', /declared as vmdk/);
    await refused(at('v3.qcow2'), 'iso', /declared as iso/);
    await refused(at('v3.qcow2'), '__proto__', /not supported/);
  });

  it('3 CVE-2022-47951: VMDK that names files', async () => {
    await refused(at('flat.vmdk'), 'vmdk', /descriptor/);
    await refused(at('split.vmdk'), 'vmdk', /descriptor/);
    await refused(await write('text.vmdk', [0, '# a comment\n\n# another\nversion=1\nCID=1\ncreateType="monolithicFlat"\nRW 20480 FLAT "/etc/passwd" 0\n']), 'raw', /declared as raw/);
    const head = await readFile(at('sparse.vmdk'));
    const text = head.toString('latin1', 512, 512 + 10_240).replace(/\0+$/, '');
    const descriptor = (edit: (text: string) => string) => Buffer.concat([Buffer.from(edit(text), 'latin1'), Buffer.alloc(10_240)]).subarray(0, 10_240);
    await refused(await patch('sparse.vmdk', 'e1.vmdk', [512, descriptor((t) => t.replace(/SPARSE "[^"]*"/, 'FLAT "/etc/passwd" 0'))]), 'vmdk', /extents/);
    await refused(await patch('sparse.vmdk', 'e2.vmdk', [512, descriptor((t) => t.replace(/SPARSE "[^"]*"/, 'SPARSE "/etc/x.vmdk"'))]), 'vmdk', /extents/);
    await refused(await patch('sparse.vmdk', 'e3.vmdk', [512, descriptor((t) => t.replace(/(RW .*\n)/, '$1RW 1 FLAT "b.vmdk"\n'))]), 'vmdk', /extents/);
    await refused(await patch('sparse.vmdk', 'e4.vmdk', [512, descriptor((t) => t.replace('monolithicSparse', 'vmfsSparse'))]), 'vmdk', /subformat "vmfsSparse"/);
    await refused(await patch('sparse.vmdk', 'e5.vmdk', [512, descriptor((t) => t.replace(/parentCID=\w+/, 'parentCID=12345678'))]), 'vmdk', /backing file/);
    await refused(await patch('sparse.vmdk', 'e6.vmdk', [512 + 9000, Buffer.from('parentFileNameHint="/etc/passwd"')]), 'vmdk', /backing file/);
    // Capacity 0: QEMU would take the embedded descriptor for a descriptor file.
    await refused(await patch('sparse.vmdk', 'e7.vmdk', [12, u64le(0n)]), 'vmdk', /capacity/);
    await refused(await patch('sparse.vmdk', 'e8.vmdk', [28, u64le(100n)]), 'vmdk', /not where/);
    // The footer, which QEMU prefers to the header, says something else.
    const size = Math.ceil((await stat(at('stream.vmdk'))).size / 512) * 512;
    const atEnd: [number, Buffer] = [56, Buffer.alloc(8, 0xff)];
    const footer = (await readFile(at('stream.vmdk'))).subarray(0, 512);
    expect((await look(await patch('stream.vmdk', 'footer.vmdk', atEnd, [size + 512, footer], [size + 1024, Buffer.alloc(512)]))).problems).toEqual([]);
    const lying = Buffer.concat([footer.subarray(0, 12), u64le(0n), footer.subarray(20)]);
    await refused(await patch('stream.vmdk', 'e9.vmdk', atEnd, [size + 512, lying], [size + 1024, Buffer.alloc(512)]), 'vmdk', /footer/);
    await refused(await patch('stream.vmdk', 'e10.vmdk', atEnd), 'vmdk', /footer/);
    await refused(await write('cowd.vmdk', [0, 'COWD'], [4096, 'x']), 'vmdk', /subformat/);
  });

  it('4 CVE-2015-5163, CVE-2015-1851: backing files', async () => {
    qemuImg('create', '-f', 'qcow2', '-b', 'v3.qcow2', '-F', 'qcow2', 'overlay.qcow2');
    await refused(at('overlay.qcow2'), 'qcow2', /backing file/);
    qemuImg('create', '-f', 'qcow2', '-o', 'compat=0.10', '-b', 'v3.qcow2', '-F', 'qcow2', 'overlay2.qcow2');
    await refused(at('overlay2.qcow2'), 'qcow2', /backing file/);
    // A guest writes such a header into its raw volume, which is then uploaded.
    await refused(await patch('data.raw', 'guest.raw', [0, (await readFile(at('overlay.qcow2'))).subarray(0, 65_536)]), 'raw', /declared as raw but its content is qcow2/);
    await refused(await patch('x.vdi', 'link.vdi', [424, Buffer.alloc(16, 7)]), 'vdi', /backing file/);
    await refused(await patch('x.vdi', 'diff.vdi', [76, u32le(4)]), 'vdi', /backing file/);
    await refused(await patch('dynamic.vhd', 'diff.vhd', [60, u32be(4)]), 'vhd', /backing file/);
  });

  it('4 VHDX parents, unreadable metadata, tables that disagree', async () => {
    const bytes = await readFile(at('x.vhdx'));
    const region = Number(bytes.readBigUInt64LE(bytes.indexOf(Buffer.from('06a27c8b90479a4bb8fe575f050f886e', 'hex'), 192 << 10) + 16));
    const parameters = bytes.indexOf(Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex'), region);
    const item = region + bytes.readUInt32LE(parameters + 16);
    await refused(await patch('x.vhdx', 'parent.vhdx', [item + 4, u32le(2)]), 'vhdx', /backing file/);
    await refused(await patch('x.vhdx', 'nometa.vhdx', [region, Buffer.alloc(64)]), 'vhdx', /metadata/);
    const second = bytes.indexOf(Buffer.from('06a27c8b90479a4bb8fe575f050f886e', 'hex'), 256 << 10);
    await refused(await patch('x.vhdx', 'two.vhdx', [second + 16, u64le(5n << 20n)]), 'vhdx', /metadata/);
    await refused(await patch('x.vhdx', 'inhead.vhdx', [192 * 1024, Buffer.alloc(65_536)]), 'vhdx', /metadata/);
  });

  it('qcow2: encryption, unknown and corrupt features, version 1, cut headers', async () => {
    await refused(await patch('v3.qcow2', 'crypt.qcow2', [32, u32be(1)]), 'qcow2', /encrypted/);
    await refused(await patch('v3.qcow2', 'future.qcow2', [72, u64be(1n << 40n)]), 'qcow2', /not supported/);
    await refused(await patch('v3.qcow2', 'corrupt.qcow2', [72, u64be(2n)]), 'qcow2', /corrupt/);
    await refused(await patch('v3.qcow2', 'v1.qcow2', [4, u32be(1)]), 'qcow2', /version 1/);
    await refused(await patch('v3.qcow2', 'v4.qcow2', [4, u32be(4)]), 'qcow2', /version 4/);
    await refused(await write('cut.qcow2', [0, (await readFile(at('v3.qcow2'))).subarray(0, 60)]), 'qcow2', /cut off/);
    await refused(await write('cut3.qcow2', [0, (await readFile(at('v3.qcow2'))).subarray(0, 90)]), 'qcow2', /cut off/);
    await refused(at('x.qed'), 'qcow2', /QED/);
  });

  it('polyglots', async () => {
    await refused(await patch('v3.qcow2', 'poly.iso', [32_768, Buffer.from('\x01CD001\x01')]), 'iso', /more than one format/);
    await refused(await patch('v3.qcow2', 'poly.qcow2', [32_768, Buffer.from('\x01CD001\x01')]), 'qcow2', /more than one format/);
    const footer = (await readFile(at('fixed.vhd'))).subarray(-512);
    const size = (await stat(at('v3.qcow2'))).size;
    await refused(await patch('v3.qcow2', 'poly2.qcow2', [size, footer]), 'qcow2', /more than one format \(qcow2, vhd\)|more than one format/);
    await refused(await patch('data.raw', 'poly.raw', [16 * MiB, footer]), 'raw', /content is vhd/);
  });

  it('9 CVE-2015-5162, CVE-2013-2096: size bombs', async () => {
    qemuImg('create', '-f', 'qcow2', 'bomb.qcow2', '100T');
    await refused(at('bomb.qcow2'), 'qcow2', /more than the/);
    await refused(await patch('v3.qcow2', 'bomb2.qcow2', [24, u64be(0xffffffffffffffffn)]), 'qcow2', /out of range/);
    const found = await inspectFile(at('v3.qcow2'));
    expect(() => assertSafe(found, 'qcow2', { maxVirtualSize: MiB })).toThrow(/16777216 bytes/);
  });

  it('random damage never throws anything but UnsafeImage', async () => {
    let seed = 1;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
    for (const name of ['v3.qcow2', 'sparse.vmdk', 'stream.vmdk', 'dynamic.vhd', 'x.vhdx', 'x.vdi']) {
      const bytes = await readFile(at(name));
      for (let round = 0; round < 60; round += 1) {
        const damaged = Buffer.from(bytes.subarray(0, round % 3 === 0 ? random() % bytes.length : bytes.length));
        for (let n = 0; n < 40 && damaged.length > 0; n += 1) damaged[random() % Math.min(damaged.length, n % 2 ? 1024 : 600_000)] = random() & 255;
        const inspector = createInspector();
        inspector.see(damaged);
        const found = inspector.finish();
        try {
          assertSafe(found, 'raw');
        } catch (error) {
          expect(error).toBeInstanceOf(UnsafeImage);
        }
      }
    }
  });
});

describe('on a stream', () => {
  it('tells the format once the front has passed', async () => {
    const inspector = createInspector();
    const bytes = await readFile(at('v3.qcow2'));
    inspector.see(bytes.subarray(0, 100_000));
    expect(inspector.early).toBeUndefined();
    inspector.see(bytes.subarray(100_000));
    expect(inspector.early).toEqual(['qcow2']);
  });

  it('holds little memory and passes fast', () => {
    const inspector = createInspector();
    const chunk = Buffer.alloc(1 << 16);
    const began = performance.now();
    const before = process.memoryUsage();
    for (let i = 0; i < 65_536; i += 1) inspector.see(chunk);
    const after = process.memoryUsage();
    expect(inspector.finish()).toMatchObject({ format: 'raw', actualSize: 4 * 1024 * MiB });
    expect(performance.now() - began).toBeLessThan(3000);
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(200 * MiB);
  });
});

describe('qemu-img', () => {
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

it('no other package starts qemu-img', () => {
  const said = execFileSync('git', ['grep', '-lE', `(run|spawn)\\([^)]*['"]qemu-img['"]`, '--', 'packages/**/*.ts'], { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' });
  expect(said.trim().split('\n').filter((file) => !file.endsWith('.test.ts'))).toEqual(['packages/diskimage/qemu_img.ts']);
});
