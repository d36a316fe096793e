import { afterAll, beforeAll, vi } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { aboutBackups } from './backups.ts';

// A cloud of its own, since it loses its database. No guest is needed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 240_000 });
let cloud: TestCloud;
beforeAll(async () => { cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' } }); });
afterAll(async () => { await cloud?.end(); });
aboutBackups(() => cloud);
