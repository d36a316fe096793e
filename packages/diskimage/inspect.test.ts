import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assertSafe, createInspector, inspectFile, inspectStream, UnsafeImage, type Found } from './index.ts';
import { makeSamples, MiB, type Samples } from './testing.ts';

let samples: Samples;
const at = (name: string) => samples.at(name);
const qemuImg = (...args: string[]) => samples.qemuImg(...args);
const write = (...args: Parameters<Samples['write']>) => samples.write(...args);
const patch = (...args: Parameters<Samples['patch']>) => samples.patch(...args);
beforeAll(async () => { samples = await makeSamples(); }, 120_000);
afterAll(() => samples.remove());

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
const u32be = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes; };
const u64be = (value: bigint) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(value); return bytes; };
const u64le = (value: bigint) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(value); return bytes; };
const u32le = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };


describe('harmless images', { timeout: 120_000 }, () => {
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

describe('hostile images (CONTRACT section 4)', { timeout: 120_000 }, () => {
  const refused = async (path: string, declared: string, message: RegExp) => {
    const found = await look(path);
    expect(() => assertSafe(found, declared)).toThrow(UnsafeImage);
    expect(() => assertSafe(found, declared)).toThrow(message);
    return found;
  };

  it('1 CVE-2024-32498: qcow2 with an external data file, by flag or by extension only', async () => {
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
    await refused(at('overlay.qcow2'), 'qcow2', /backing file/);
    await qemuImg('create', '-f', 'qcow2', '-o', 'compat=0.10', '-b', 'v3.qcow2', '-F', 'qcow2', 'overlay2.qcow2');
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

describe('on a stream', { timeout: 120_000 }, () => {
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
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(200 * MiB);
  });
});
