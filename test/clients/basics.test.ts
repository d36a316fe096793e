import { mkdtempSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { aboutIdentity } from './identity.ts';
import { aboutImages } from './images.ts';
import { aboutVolumes } from './volumes.ts';

// What a user does with Debian's own clients where no guest has to boot.
let cloud: TestCloud;
const folder = mkdtempSync('/tmp/cumulet-basics-');
beforeAll(async () => { cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' } }); });
afterAll(async () => {
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});

describe('identity', () => { aboutIdentity(() => cloud); });
describe('images', () => { aboutImages(() => cloud, folder); });
describe('volumes', () => { aboutVolumes(() => cloud); });
