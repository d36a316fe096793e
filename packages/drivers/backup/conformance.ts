import { afterAll, afterEach, beforeEach, describe } from 'vitest';
import { catalogue } from './conformance/catalogue.ts';
import { cut } from './conformance/cut.ts';
import { damage } from './conformance/damage.ts';
import { lab, type BackupUnderTest, type Lab } from './conformance/lab.ts';
import { making } from './conformance/making.ts';
import { openThreads } from './threads.ts';

export type { BackupUnderTest, TargetOptions } from './conformance/lab.ts';

/** What every backup target does, whatever it is made of. */
export function backupConformance(title: string, make: () => Promise<BackupUnderTest>, options: { readonly timeout?: number } = {}): void {
  describe(`backup target: ${title}`, { timeout: options.timeout ?? 120_000 }, () => {
    let current: Lab;
    // Starting a thread takes longer than any test.
    const threads = openThreads();
    afterAll(() => threads.close());
    beforeEach(async () => {
      current = lab(await make(), threads);
      await current.driver.check(current.call);
    });
    afterEach(() => current?.close());
    for (const part of [making, cut, damage, catalogue]) part(() => current);
  });
}
