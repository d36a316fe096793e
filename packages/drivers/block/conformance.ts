import { beforeEach, describe } from 'vitest';
import { clones } from './conformance/clones.ts';
import { data } from './conformance/data.ts';
import { images } from './conformance/images.ts';
import { lab, type BlockUnderTest, type Lab } from './conformance/lab.ts';
import { manage } from './conformance/manage.ts';
import { snapshots } from './conformance/snapshots.ts';
import { volumes } from './conformance/volumes.ts';

/** What every block backend does, whatever it is made of; each test gets a backend of its own from `make`. */
export function blockConformance(title: string, make: () => Promise<BlockUnderTest>, options: { readonly timeout?: number } = {}): void {
  describe(`block driver: ${title}`, { timeout: options.timeout ?? 180_000 }, () => {
    let fresh: Lab;
    beforeEach(async () => {
      fresh = lab(await make());
      await fresh.driver.check(fresh.call);
    });
    for (const part of [volumes, data, snapshots, clones, images, manage]) part(() => fresh);
  });
}
