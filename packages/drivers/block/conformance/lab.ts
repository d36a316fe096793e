import { randomUUID } from 'node:crypto';
import { constants, copyFile, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'vitest';
import { plainCall, type Call } from '../../call.ts';
import { DriverError, need, type DriverErrorKind } from '../../errors.ts';
import type { BlockDriver, DataRef, SnapshotRef, VolumeRef, VolumeSpec } from '../contract.ts';

export const MiB = 1 << 20;
export const GiB = 2 ** 30;

export interface BlockUnderTest {
  readonly driver: BlockDriver;
  /** Names of everything the backend holds, unfinished things included. */
  leftovers(): Promise<readonly string[]>;
  /** Bytes that the backend really uses, when it can tell. */
  readonly used?: () => Promise<number>;
  /** Put an object of that many bytes there as an administrator would, under a name that is not ours. */
  readonly plant?: (name: string, bytes: number, content: Buffer) => Promise<void>;
  /** Can it freeze a volume while somebody writes to it? */
  readonly live: boolean;
  /** Content of the volumes whose copying is cut short; default 128 MiB. */
  readonly bigBytes?: number;
}

/** A fresh backend and short words for what the tests do with it. */
export type Lab = ReturnType<typeof lab>;

export function lab(under: BlockUnderTest) {
  const { driver } = under;
  const call = plainCall();
  const spec = (sizeGiB = 1): VolumeSpec => ({ name: `volume-${randomUUID()}`, sizeGiB });
  const volume = async (sizeGiB = 1): Promise<VolumeRef> => {
    const made = spec(sizeGiB);
    return { ...made, ...await driver.volumes.create(call, made) };
  };
  const snapshotOf = async (of: VolumeRef, inUse = false): Promise<SnapshotRef> => {
    const made = { name: `snapshot-${randomUUID()}`, volume: of, sizeGiB: of.sizeGiB };
    return { ...made, ...await need(driver, 'snapshots').create(call, made, { inUse }) };
  };
  const write = async (ref: VolumeRef, offset: number, bytes: Buffer, by: Call = call) =>
    pipeline(Readable.from((function* () { for (let at = 0; at < bytes.length; at += 200_003) yield bytes.subarray(at, at + 200_003); })(), { objectMode: false }), await driver.data.write(by, ref, { offset }));
  const read = async (ref: DataRef, offset: number, length: number) => Buffer.concat(await (await driver.data.read(call, ref, { offset, length })).toArray());
  const expectAt = async (ref: DataRef, offset: number, bytes: Buffer) => expect((await read(ref, offset, bytes.length)).equals(bytes), `bytes at ${offset}`).toBe(true);
  const fails = async (work: Promise<unknown>, kind: DriverErrorKind) => {
    const error = await work.then(() => undefined, (failure: unknown) => failure);
    expect(error).toBeInstanceOf(DriverError);
    expect(error).toMatchObject({ kind });
    expect((error as DriverError).message).not.toMatch(/\/tmp|\/var|qemu|\bE[A-Z]{4,}\b/);
  };
  const aborted = (reason: Error, afterMs: number): Call => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), afterMs);
    return plainCall('t', stop.signal);
  };
  const clean = async () => expect(await under.leftovers()).toEqual([]);

  return { under, driver, call, spec, volume, snapshotOf, write, read, expectAt, fails, aborted, clean };
}

export async function listOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

/** Can the file system of this folder share blocks between files (XFS, btrfs)? */
export async function sharesBlocks(folder: string): Promise<boolean> {
  const [from, to] = [join(folder, 'share-a'), join(folder, 'share-b')];
  await writeFile(from, Buffer.alloc(65_536, 1));
  const can = await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE).then(() => true, () => false);
  await Promise.all([from, to].map((path) => rm(path, { force: true })));
  return can;
}

/** Somebody's raw disk of `bytes` in a folder, with `content` at its beginning. */
export async function plantFile(folder: string, name: string, bytes: number, content: Buffer): Promise<string> {
  const path = join(folder, name);
  const file = await open(path, 'wx');
  try {
    await file.write(content);
    await file.truncate(bytes);
  } finally {
    await file.close();
  }
  return path;
}
