import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostPlans } from '@cumulet/volume';
import { expect, test } from 'vitest';
import { computePlans } from './index.ts';

/** Why a plan needs no proof of its own. */
const exempt: Readonly<Record<string, string>> = {
  'server.ask': 'it changes nothing',
};
const folder = import.meta.dirname;
const texts = async (where: string, end: string): Promise<string[]> => Promise.all((await readdir(where)).filter(f => f.endsWith(end)).map(f => readFile(join(where, f), 'utf8')));

/** A plan without a proof is a way to leave something behind. */
test('every plan is proved', async () => {
  const tests = [...await texts(folder, '.test.ts'), ...await texts(join(folder, '..'), '.test.ts'), ...await texts(join(folder, '../../volume'), '.test.ts')].join('\n');
  const code = (await texts(folder, '.ts')).concat(await texts(join(folder, '../../volume/snapshots'), '.ts')).join('\n');
  const missing: string[] = [];
  for (const { kind } of computePlans) {
    // Those that the volume service has run on hosts are proved there.
    if (kind in exempt || hostPlans.some(p => p.kind === kind)) continue;
    const name = new RegExp(`const (\\w+)(?:: [^=]+)? = \\w+\\(\\s*'${kind.replace('.', '\\.')}'`).exec(code)?.[1];
    if (name === undefined || !new RegExp(`\\b(?:proof|prove|power|provePlan)\\((?:\\{ plan: )?${name}\\b`).test(tests)) missing.push(`${kind} (${name})`);
  }
  expect(missing).toEqual([]);
});
