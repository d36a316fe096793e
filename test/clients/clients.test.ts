import { mkdtempSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { aboutIdentity } from './identity.ts';
import { aboutImages } from './images.ts';
import { aboutServers } from './servers.ts';
import { aboutVolumes } from './volumes.ts';

// What a user can do with Debian's own clients, on one cloud: its start and the boots of guests are most of the time.
// A guest without KVM on a busy machine takes its time; what it is given here is a limit, not what it needs.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 180_000 });

let cloud: TestCloud;
const folder = mkdtempSync('/tmp/cumulet-clients-');
beforeAll(async () => { cloud = await startCloud(); });
afterAll(async () => {
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});

describe('identity', () => { aboutIdentity(() => cloud); });
describe('images', () => { aboutImages(() => cloud, folder); });
describe('volumes', () => { aboutVolumes(() => cloud); });
describe('servers', () => { aboutServers(() => cloud, folder); });
