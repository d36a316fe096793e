import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { qcow2 } from '@cumulet/diskimage/testing';
import { createRunner } from '@cumulet/exec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { Files } from './files.ts';

const MiB = 1 << 20;
const call = plainCall('files');
const runner = createRunner({ log: { debug() {}, warn() {} } });
const files = new Files(runner);

/** The first cluster of a qcow2 of 1 GiB whose backing file is `path`: what a guest would write into its disk to be shown a file of the host. */
const hostileHeader = (path: string): Buffer => qcow2({ version: 2, size: 1n << 30n, backing: path, length: 65_536 });

// CVE-2015-7548 (snapshot), CVE-2016-2140 and CVE-2026-24708 (resize), CVE-2014-0134 (rescue): what a guest writes into its disk stays bytes.
describe('a guest that writes the header of an image into its disk', () => {
  let folder: string;
  let header: Buffer;
  const at = (name: string) => join(folder, name);
  const start = async (path: string): Promise<Buffer> => {
    const file = await open(path, 'r');
    try { return (await file.read(Buffer.alloc(header.length), 0, header.length, 0)).buffer; } finally { await file.close(); }
  };
  const seenByGuest = async (name: string): Promise<Buffer> => {
    await rm(at(`${name}.seen`), { force: true });
    await files.flatten(call, { path: at(name), format: 'qcow2' }, { path: at(`${name}.seen`), format: 'raw' });
    return start(at(`${name}.seen`));
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cumulet-files-'));
    await writeFile(at('secret'), 'of the host'.repeat(1_000));
    header = hostileHeader(at('secret'));
    await writeFile(at('image'), '');
    await truncate(at('image'), 8 * MiB);
    await files.build(call, folder, { root: { kind: 'image', imagePath: at('image'), imageFormat: 'raw', sizeGiB: 0 } } as Parameters<Files['build']>[2]);
    await writeFile(at('header'), header);
    await runner.run('qemu-io', ['-f', 'qcow2', '-c', `write -s ${at('header')} 0 ${header.length}`, at('disk')]);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('finds the same bytes there', async () => {
    expect(await seenByGuest('disk')).toEqual(header);
    expect(await files.virtualSize(call, { path: at('disk'), format: 'qcow2' })).toBe(8 * MiB);
  });
  it('and after a resize', async () => {
    await files.grow(call, { path: at('disk'), format: 'qcow2' }, 16 * MiB);
    expect(await files.virtualSize(call, { path: at('disk'), format: 'qcow2' })).toBe(16 * MiB);
    expect(await seenByGuest('disk')).toEqual(header);
  });
  it('and in a snapshot, raw or qcow2, which takes nothing of the host along', async () => {
    for (const format of ['raw', 'qcow2'] as const) {
      await files.flatten(call, { path: at('disk'), format: 'qcow2' }, { path: at(`copy.${format}`), format });
      expect((await readFile(at(`copy.${format}`))).includes('of the host')).toBe(false);
    }
    expect(await start(at('copy.raw'))).toEqual(header);
    expect((await stat(at('copy.raw'))).size).toBe(16 * MiB);
    expect(await files.hasBase(call, { path: at('copy.qcow2'), format: 'qcow2' })).toBe(false);
  });
  it('and in a server or a rescue from that snapshot, which was declared raw', async () => {
    const spec = { root: { kind: 'image', imagePath: at('image'), imageFormat: 'raw', sizeGiB: 0 }, rescue: { imagePath: at('copy.raw'), imageFormat: 'raw' } } as Parameters<Files['build']>[2];
    await files.buildRescue(call, folder, spec);
    expect(await files.virtualSize(call, { path: at('disk.rescue'), format: 'qcow2' })).toBe(16 * MiB);
    expect(await seenByGuest('disk.rescue')).toEqual(header);
    expect((await readFile(at('disk.rescue.seen'))).includes('of the host')).toBe(false);
  });
});
