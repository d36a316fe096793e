import { afterAll, beforeAll, expect, test } from 'vitest';
import { sweep } from './engine.ts';
import { openTargets, type Targets } from './targets.ts';

// Everything odd to every operation, a service at a time: half an hour and more. `sweep.test.ts` is the short form.
let t: Targets;
beforeAll(async () => { t = await openTargets(); }, 240_000);
afterAll(() => t?.close());
for (const name of ['placement', 'network', 'image', 'identity', 'volume', 'compute'] as const) test(`${name} answers everything odd in its own words, and what it refuses leaves nothing`, async () => {
  expect((await sweep(t.targets[name], { all: true })).wrong).toEqual([]);
}, 3_600_000);
