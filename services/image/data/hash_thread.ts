import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** What a hashing thread is asked: `more` brings bytes in shared memory, `end` wants the digest. */
export type Ask = { readonly run: number; readonly algorithm: string; readonly op: 'more'; readonly piece: number; readonly bytes: Uint8Array } | { readonly run: number; readonly algorithm: string; readonly op: 'end' | 'drop' };
export type Answer = { readonly run: number; readonly piece: number } | { readonly run: number; readonly algorithm: string; readonly digest: string };

const runs = new Map<string, Hash>();
parentPort?.on('message', (ask: Ask) => {
  const key = `${ask.run} ${ask.algorithm}`;
  if (ask.op === 'drop') { runs.delete(key); return; }
  let hash = runs.get(key);
  if (!hash) runs.set(key, hash = createHash(ask.algorithm));
  if (ask.op === 'more') {
    hash.update(ask.bytes);
    parentPort?.postMessage({ run: ask.run, piece: ask.piece } satisfies Answer);
    return;
  }
  runs.delete(key);
  parentPort?.postMessage({ run: ask.run, algorithm: ask.algorithm, digest: hash.digest('hex') } satisfies Answer);
});
