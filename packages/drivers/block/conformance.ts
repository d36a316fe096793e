import { beforeEach, describe, expect, it } from 'vitest';
import { clones } from './conformance/clones.ts';
import { data } from './conformance/data.ts';
import { encryption } from './conformance/encryption.ts';
import { images } from './conformance/images.ts';
import { lab, type BlockUnderTest, type Lab } from './conformance/lab.ts';
import { manage } from './conformance/manage.ts';
import { snapshots } from './conformance/snapshots.ts';
import { volumes } from './conformance/volumes.ts';

/** The capabilities with a part of their own here. */
const capabilities = { snapshots, clone: clones, image: images, manage, encryption } as const;

/**
 * What every block backend does, whatever it is made of; each test gets a backend of its own from `make`. A capability that the driver
 * does not have is named in `without`, so that none is missing by accident.
 */
export function blockConformance(title: string, make: () => Promise<BlockUnderTest>, options: { readonly timeout?: number; readonly without?: readonly (keyof typeof capabilities)[] } = {}): void {
  const { without = [] } = options;
  describe(`block driver: ${title}`, { timeout: options.timeout ?? 180_000 }, () => {
    let fresh: Lab;
    beforeEach(async () => {
      fresh = lab(await make());
      await fresh.driver.check(fresh.call);
    });
    volumes(() => fresh);
    data(() => fresh);
    for (const [capability, part] of Object.entries(capabilities)) if (!without.some(name => name === capability)) part(() => fresh);
    if (without.length > 0) it(`lacks ${without.join(' and ')}`, () => { for (const capability of without) expect(fresh.driver[capability]).toBeUndefined(); });
  });
}
