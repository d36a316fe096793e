import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { plainCall } from '../call.ts';
import type { Extent } from '../block/contract.ts';
import { decodeRecord, encodeRecord, isBase64, metadataContainer, readContainer, restoredFields } from './index.ts';
import { objectName, pythonTime, readPrefix } from './layout.ts';
import { packHashes, PartDraft } from './parts.ts';
import { spans, type Span } from './spans.ts';
import { packedZeros } from './zeros.ts';

const volume = '48c3c07f-b7e4-491c-ac7b-1ffad5dc6e9f';
const backup = '2b9f2b9d-de6a-48ed-87b2-72c7ffa6aa82';

describe('records', () => {
  const golden = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../../../shared/peer/golden/${name}.json`, import.meta.url), 'utf8'));

  it("the peer's are read, and written with the same members", () => {
    const { exchanges } = golden('volume/backup_export') as { exchanges: { response: { body: { 'backup-record': { backup_url: string } } } }[] };
    const url = exchanges[0]?.response.body['backup-record'].backup_url ?? '';
    const record = decodeRecord(url);
    expect(Object.keys(record ?? {})).toEqual(Object.keys(golden('volume-backup-record-decoded') as object));
    expect(decodeRecord(encodeRecord(record ?? {}))).toEqual(record);
    // As Pythons of 2014 broke it in lines.
    expect(decodeRecord(`${url.replaceAll(/.{76}/g, '$&\n')}\n`)).toEqual(record);
  });

  it('hostile ones are no records', () => {
    const text = (value: string) => Buffer.from(value).toString('base64');
    for (const bad of ['', 'zzz', '@@@@', text(''), text('5'), text('[]'), text('null'), text('"x"'), text('{'), text('{"a":1}').slice(1), text(`{"a":"${'x'.repeat(300_000)}"}`), text(`{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`), Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64')]) {
      expect(decodeRecord(bad), bad.slice(0, 40)).toBeUndefined();
    }
    const poisoned = decodeRecord(text('{"id":"x","__proto__":{"admin":true},"metadata":{"constructor":{"prototype":{"a":1}},"a":"b"},"list":[{"__proto__":1}]}'));
    expect(poisoned).toEqual({ id: 'x', metadata: { a: 'b' }, list: [{}] });
    expect(Object.hasOwn(poisoned ?? {}, '__proto__')).toBe(false);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
    expect(isBase64('zzz')).toBe(false);
    expect(isBase64('eyJh\nIjox')).toBe(true);
  });
});

describe('the volume metadata container', () => {
  it('is written as version 1, with what JSON can hold', () => {
    const text = metadataContainer({ base: { display_name: 'n', size: 1, glance: undefined, made: () => 1, gone: null, big: 5n }, metadata: { a: 'b' }, glance: null });
    expect(JSON.parse(text)).toEqual({ version: 1, 'volume-base-metadata': { display_name: 'n', size: 1, gone: null }, 'volume-metadata': { a: 'b' } });
    expect(readContainer(text)).toEqual({ version: 1, base: { display_name: 'n', size: 1, gone: null }, metadata: { a: 'b' }, glance: undefined });
  });

  const container = (rest: object, version: number = 1) => readContainer(JSON.stringify({ version, ...rest }));
  it('restores names unless they are null or the volume has one of its own', () => {
    const named = container({ 'volume-base-metadata': { display_name: 'old', display_description: 'what it was', size: 5, status: 'x', host: 'y' } });
    for (const name of [null, '', 'restore_backup_1']) expect(restoredFields(named, { name })).toEqual({ name: 'old', description: 'what it was' });
    expect(restoredFields(named, { name: 'mine' })).toEqual({});
    expect(restoredFields(container({ 'volume-base-metadata': { display_name: null, display_description: null } }), { name: 'restore_backup_1' })).toEqual({ description: null });
  });
  it('replaces metadata and image metadata', () => {
    expect(restoredFields(container({ 'volume-metadata': { a: 'b', n: 5, gone: null }, 'volume-glance-metadata': { disk_format: 'raw', min_ram: 0 } }), { name: 'mine' })).toEqual({ metadata: { a: 'b', n: '5' }, glance: { disk_format: 'raw', min_ram: '0' } });
    expect(restoredFields(container({ 'volume-metadata': {} }), { name: null })).toEqual({ metadata: {} });
  });
  it('reads version 2, where an encrypted volume brings its type', () => {
    const base = { 'volume-base-metadata': { encryption_key_id: 'k', volume_type_id: 't' } };
    expect(restoredFields(container(base, 2), { name: null })).toEqual({ encryptedType: 't' });
    expect(restoredFields(container(base, 1), { name: null })).toEqual({});
  });
  it('refuses other versions in words, and what is none', () => {
    for (const version of [0, 3, 1.5]) expect(() => container({}, version)).toThrow('Unsupported backup metadata version requested');
    for (const bad of ['', '{', 'null', '[]', '{}', '{"version":"1"}', '{"version":1,"volume-metadata":[]}', '{"version":1,"volume-metadata":{"a":{}}}', `{"version":1,"x":"${'x'.repeat(5 << 20)}"}`]) expect(() => readContainer(bad)).toThrow('damaged');
    const poisoned = readContainer('{"version":1,"volume-metadata":{"__proto__":"x","a":"b"}}');
    expect(Object.getPrototypeOf(poisoned.metadata)).toBe(Object.prototype);
    expect(poisoned.metadata?.['a']).toBe('b');
  });
});

describe('names', () => {
  it('are upstream\'s', () => {
    expect(objectName('p', 1)).toBe('p-00001');
    expect(objectName('p', 123_456)).toBe('p-123456');
    expect(pythonTime(new Date('2026-11-21T10:56:59.123Z'))).toBe('2026-11-21 10:56:59+00:00');
    for (const prefix of [`volume_${volume}_20261121105659_backup_${backup}`, `volume_${volume}/20170830055626/az_nova_backup_${backup}`]) expect(readPrefix(prefix)).toEqual({ volumeId: volume, backupId: backup });
    for (const prefix of ['', 'volume', `volume_${volume}_20261121105659_backup_`, `x/volume_${volume}_20261121105659_backup_${backup}`, `volume_${volume}/../az_nova_backup_${backup}`, `volume_${volume}/20170830055626/az_a/b_backup_${backup}`]) expect(readPrefix(prefix)).toBeUndefined();
  });
});

describe('spans', () => {
  const rules = { block: 10, objectBytes: 100, holeBytes: 1000, smallHole: 50 };
  const cut = async (bytes: number, data: readonly (readonly [number, number])[], from = 0): Promise<Span[]> => {
    async function* extents(): AsyncGenerator<Extent> {
      let at = from;
      for (const [offset, end] of data) {
        if (end <= from) continue;
        if (offset > at) yield { offset: at, length: offset - at, hole: true };
        const begin = Math.max(at, offset);
        yield { offset: begin, length: end - begin, hole: false };
        at = end;
      }
      if (at < bytes) yield { offset: at, length: bytes - at, hole: true };
    }
    const all: Span[] = [];
    for await (const span of spans(plainCall(), { bytes, extents, read: () => Promise.reject(new Error()) }, from, rules)) all.push(span);
    return all;
  };
  const short = (all: readonly Span[]) => all.map(({ offset, length, data }) => `${offset}+${length}${data.length ? '' : ' hole'}`);

  it('cut data at objects and blocks, and join small holes', async () => {
    expect(short(await cut(1000, [[0, 250]]))).toEqual(['0+100', '100+100', '200+50', '250+750 hole']);
    expect(short(await cut(1000, [[103, 104], [140, 141]]))).toEqual(['0+100 hole', '100+50', '150+850 hole']);
    expect(short(await cut(1000, [[5, 6], [996, 1000]]))).toEqual(['0+10', '10+980 hole', '990+10']);
    expect(short(await cut(2500, []))).toEqual(['0+1000 hole', '1000+1000 hole', '2000+500 hole']);
    expect(short(await cut(0, []))).toEqual([]);
    expect(await cut(100, [[0, 5], [7, 100]])).toEqual([{ offset: 0, length: 100, data: [{ offset: 0, length: 5 }, { offset: 7, length: 93 }] }]);
  });

  it('cover everything once, whatever the data', async () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
    for (let n = 0; n < 300; n += 1) {
      const bytes = (1 + random(300)) * 10;
      const data: [number, number][] = [];
      for (let at = random(200); at < bytes; at += random(random(2) ? 10 : 300)) {
        const end = Math.min(bytes, at + 1 + random(150));
        data.push([at, end]);
        at = end;
      }
      const from = random(bytes / 10) * 10;
      const all = await cut(bytes, data, from);
      let at = from;
      const held = new Set<number>();
      for (const span of all) {
        expect(span.offset).toBe(at);
        expect(span.length).toBeGreaterThan(0);
        expect(span.length).toBeLessThanOrEqual(span.data.length ? 100 : 1000);
        if (span.offset + span.length < bytes) expect(span.length % 10).toBe(0);
        at += span.length;
        for (const piece of span.data) {
          expect(piece.offset).toBeGreaterThanOrEqual(span.offset);
          expect(piece.offset + piece.length).toBeLessThanOrEqual(span.offset + span.length);
          for (let b = piece.offset; b < piece.offset + piece.length; b += 1) held.add(b);
        }
      }
      expect(at).toBe(bytes);
      const wanted = new Set<number>();
      for (const [offset, end] of data) for (let b = Math.max(from, offset); b < end; b += 1) wanted.add(b);
      expect(held).toEqual(wanted);
    }
  });

  it('refuse a map with gaps', async () => {
    const source = { bytes: 100, read: () => Promise.reject(new Error()), async *extents() { yield { offset: 0, length: 50, hole: false }; } };
    await expect((async () => { for await (const _ of spans(plainCall(), source, 0, rules)); })()).rejects.toThrow('gaps');
  });
});

describe('packed zeros', () => {
  it('are bzip2 streams of as many zeros as they should be', () => {
    // The checksum of a stream's only block tells how many: it differs for each number of zeros.
    const table = Array.from({ length: 256 }, (_, n) => {
      let value = n << 24;
      for (let bit = 0; bit < 8; bit += 1) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0);
      return value;
    });
    let crc = -1;
    for (let bytes = 0, power = 512; power <= 2 ** 25; power *= 2) {
      for (; bytes < power; bytes += 1) crc = (crc << 8) ^ (table[crc >>> 24] ?? 0);
      const stream = packedZeros(power);
      expect(stream.toString('latin1', 0, 4)).toBe('BZh9');
      expect(stream.toString('hex', 4, 10)).toBe('314159265359');
      expect(stream.readInt32BE(10), String(power)).toBe(~crc);
    }
    expect(packedZeros(2 ** 29).length).toBe(16 * packedZeros(2 ** 25).length);
    expect(packedZeros(3 * 512)).toEqual(Buffer.concat([packedZeros(1024), packedZeros(512)]));
    expect(() => packedZeros(100)).toThrow();
  });
});

describe('parts', () => {
  it('keep runs of zeros as numbers', () => {
    const [zero, one] = [Buffer.alloc(32), Buffer.alloc(32, 1)];
    const pack = (text: string) => packHashes(Buffer.concat([...text].map((c) => (c === '0' ? zero : one))), zero);
    expect(pack('0011100').runs).toEqual([2, 3, 2]);
    expect(pack('1').runs).toEqual([0, 1]);
    expect(pack('').runs).toEqual([]);
    const draft = new PartDraft(0);
    for (const text of ['00', '011', '1', '0', '10']) draft.add(text.length, pack(text), []);
    const encoded = draft.encode({ backupId: 'b', moment: 'm', block: 1 });
    const head = JSON.parse(encoded.toString('utf8', 0, encoded.indexOf(10)));
    expect(head).toMatchObject({ from: 0, to: 9, runs: [3, 3, 1, 1, 1] });
    expect(encoded.length - encoded.indexOf(10) - 1).toBe(4 * 32);
  });
});
