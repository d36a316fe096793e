import { mkdtempSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { aboutServers } from './servers.ts';

// What a user can do with Debian's own clients and real guests. What needs no guest: basics.test.ts.
// A guest without KVM on a busy machine takes its time; what it is given here is a limit, not what it needs.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 180_000 });

let cloud: TestCloud;
const folder = mkdtempSync('/tmp/cumulet-clients-');
beforeAll(async () => { cloud = await startCloud(); });
afterAll(async () => {
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});

describe('servers', () => { aboutServers(() => cloud, folder); });
