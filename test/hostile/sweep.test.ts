import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sweep } from './engine.ts';
import { openTargets, type Targets } from './targets.ts';

// Each operation gets its share of what is odd; `thorough.test.ts` sends everything to each.
let t: Targets;
beforeAll(async () => { t = await openTargets(); }, 240_000);
afterAll(() => t?.close());

describe('odd paths, queries and bodies are answered in the service\'s own words, never by a 500, and what is refused leaves nothing', () => {
  test.each([['compute', 5_000], ['volume', 3_000], ['image', 2_000], ['network', 3_000], ['identity', 5_000], ['placement', 500]] as const)('%s', async (name, least) => {
    const { wrong, sent } = await sweep(t.targets[name]);
    expect(wrong).toEqual([]);
    expect(sent).toBeGreaterThan(least);
  }, 300_000);
});
