import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The grain in which the fake keeps content: blocks that were never written take no room. */
export const BLOCK = 64 << 10;

export interface FakeObject {
  /** `<volume>` or `<volume>~<snapshot>`. */
  readonly key: string;
  readonly bytes: number;
  readonly pool: string;
  /** By number; a missing block is zeros. Buffers are never changed in place, so that copies can share them. */
  readonly blocks: Map<number, Buffer>;
  readonly qos?: Readonly<Record<string, string>>;
}

export interface FakeState {
  get(key: string): FakeObject | undefined;
  put(object: FakeObject): void;
  delete(key: string): void;
  keys(): string[];
}

export function memoryState(): FakeState {
  const objects = new Map<string, FakeObject>();
  return { get: (key) => objects.get(key), put: (object) => void objects.set(object.key, object), delete: (key) => void objects.delete(key), keys: () => [...objects.keys()] };
}

/** One small file for each object, read anew each time: what one process does, another one sees. For tests, so calls are synchronous. */
export function directoryState(directory: string): FakeState {
  mkdirSync(directory, { recursive: true });
  const fileOf = (key: string) => join(directory, `${encodeURIComponent(key)}.json`);
  return {
    get(key) {
      let text: string;
      try {
        text = readFileSync(fileOf(key), 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
      const { blocks, ...rest } = JSON.parse(text) as Omit<FakeObject, 'blocks'> & { blocks: [number, string][] };
      return { ...rest, blocks: new Map(blocks.map(([number, data]) => [number, Buffer.from(data, 'base64')])) };
    },
    put(object) {
      const unfinished = `${fileOf(object.key)}.${process.pid}`;
      writeFileSync(unfinished, JSON.stringify({ ...object, blocks: [...object.blocks].map(([number, data]) => [number, data.toString('base64')]) }));
      renameSync(unfinished, fileOf(object.key));
    },
    delete(key) {
      rmSync(fileOf(key), { force: true });
    },
    keys: () => readdirSync(directory).filter((name) => name.endsWith('.json')).map((name) => decodeURIComponent(name.slice(0, -5))),
  };
}

/** The bytes of a range; holes are zeros. */
export function bytesIn(object: FakeObject, offset: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const at = offset + done;
    const within = at % BLOCK;
    const piece = Math.min(BLOCK - within, length - done);
    object.blocks.get((at - within) / BLOCK)?.copy(out, done, within, within + piece);
    done += piece;
  }
  return out;
}

/** `data` undefined: zeros. */
export function overwrite(object: FakeObject, offset: number, length: number, data?: Buffer): void {
  const first = Math.floor(offset / BLOCK);
  const last = Math.ceil((offset + length) / BLOCK);
  // A terabyte of zeros is not walked block by block, only what is there.
  const touched = data ? Array.from({ length: last - first }, (_, n) => first + n) : [...object.blocks.keys()].filter((number) => number >= first && number < last);
  for (const number of touched) {
    const from = Math.max(offset, number * BLOCK);
    const to = Math.min(offset + length, (number + 1) * BLOCK);
    if (!data && to - from === BLOCK) {
      object.blocks.delete(number);
      continue;
    }
    const block = Buffer.from(object.blocks.get(number) ?? Buffer.alloc(BLOCK));
    if (data) data.copy(block, from - number * BLOCK, from - offset, to - offset);
    else block.fill(0, from - number * BLOCK, to - number * BLOCK);
    object.blocks.set(number, block);
  }
}
