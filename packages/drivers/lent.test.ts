import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { giveBack, keep, lend } from './lent.ts';
import { fileReadable } from './sparse.ts';

const folder = mkdtempSync('/tmp/cumulet-lent-');
afterAll(() => rmSync(folder, { recursive: true }));

test('a chunk is given back when its last user has said so, and only once', () => {
  let backs = 0;
  const chunk = lend(Buffer.alloc(1), () => { backs += 1; });
  keep(chunk);
  giveBack(chunk);
  expect(backs).toBe(0);
  giveBack(chunk);
  giveBack(chunk);
  expect(backs).toBe(1);
  // What nobody lent, or another view of the same bytes, is no loan.
  giveBack(Buffer.alloc(1));
  giveBack(chunk.subarray());
  expect(backs).toBe(1);
});

test('a file is read into the same memory again, and into other memory while a chunk is kept', async () => {
  const path = join(folder, 'file');
  const bytes = Buffer.alloc(5 << 20);
  for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32BE(at, at);
  writeFileSync(path, bytes);
  const read = async (returning: boolean) => {
    const memories = new Set<ArrayBufferLike>();
    let at = 0;
    for await (const chunk of fileReadable(await open(path), { offset: 0, length: bytes.length }, new AbortController().signal, 'Reading') as AsyncIterable<Buffer>) {
      expect(chunk.equals(bytes.subarray(at, at += chunk.length))).toBe(true);
      memories.add(chunk.buffer);
      if (returning) giveBack(chunk);
    }
    expect(at).toBe(bytes.length);
    return memories.size;
  };
  expect(await read(true)).toBeLessThanOrEqual(3);
  expect(await read(false)).toBe(5);
});
