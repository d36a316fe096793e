import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLines } from '../console-lines.ts';
import { trimConsoleLog } from './console.ts';

describe('console log', () => {
  let dir: string;
  beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'hyp-console-')); });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it.for([['a\nb\n', 1, 'b'], ['a\nb', 2, 'a\nb'], ['a\n', 0, ''], ['', 5, ''], ['\n\n', 1, ''], ['a\nb\nc\n', 2, 'b\nc']] as const)('of %j shows the last %d lines', ([text, lines, shown]) => {
    expect(lastLines(text, lines)).toBe(shown);
  });

  it('is cut when a guest writes without end, its newest part kept', async () => {
    const path = join(dir, 'console.log');
    expect(await trimConsoleLog(path, 100)).toBe(false);
    await writeFile(path, 'x'.repeat(90));
    expect(await trimConsoleLog(path, 100)).toBe(false);
    await appendFile(path, 'y'.repeat(50));
    expect(await trimConsoleLog(path, 100)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('');
    expect(await readFile(`${path}.0`, 'utf8')).toBe('y'.repeat(50));
  });
});
