import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// `npm test` runs `parts`, the tests beside the code, on a real Postgres and Redis; `whole`, what needs more than one service or a real hypervisor;
// `simulated`, clouds by `npm start` whose guests are simulated, two at a time: clients spend their time in starting; and `cloud`, clouds that are alone on
// the machine, because they own bridges, guests and two processors' worth of work, or are killed. `npm run test:storage` is for targets that take long to
// install and start: real Ceph, Swift and NFS.
const simulated = ['test/clients/{basics,images,cinder,nova,backups}.test.ts', 'test/faults/images.test.ts'];
// Every command of compute and network, chaos, and everything odd to every operation take longer than CI has: `npm run test:cloud` runs them.
const long = ['test/clients/{compute,hosts}.test.ts', 'test/faults/chaos.test.ts', 'test/hostile/thorough.test.ts'];
// Need every service but nothing of the machine: they may run beside the parts.
const beside = ['test/hostile/sweep.test.ts', 'test/{golden,policy,migrations,upstream,bench}/*.test.ts'];
const alone = ['test/clients/clients.test.ts', 'test/faults/faults.test.ts', 'test/start/*.test.ts'];
// Those that take longest begin first, lest one of two processors waits for the other at the end.
const longest = /test\/(hostile\/sweep|clients\/(cinder|images|basics|backups))\.test\.ts$/;
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { long = [], other = [] } = Object.groupBy(await super.sort(files), f => (longest.test(f.moduleId) ? 'long' : 'other'));
    return [...long, ...other];
  }
}
// CI's machine is shared and noisy: limits are there to end what hangs, not to time anything, and a test that fails for want of a processor is tried
// once more (the report says so).
const retry = process.env['CI'] ? 1 : 0;

export default defineConfig({
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-results.json' }]] : ['default'],
    projects: [
      {
        test: {
          name: 'parts',
          include: ['packages/**/*.test.ts', 'services/**/*.test.ts', 'setup/**/*.test.ts', 'test/harness/*.test.ts', ...beside],
          globalSetup: 'test/harness/database.ts',
          retry,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'whole',
          include: ['test/**/*.test.ts'],
          exclude: ['test/harness/**', 'test/storage/**', ...beside, ...simulated, ...long, ...alone],
          globalSetup: 'test/harness/database.ts',
          fileParallelism: false,
          retry,
          testTimeout: 180_000,
          hookTimeout: 240_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'simulated',
          include: simulated,
          globalSetup: 'test/harness/database.ts',
          retry,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'cloud',
          include: alone,
          globalSetup: 'test/harness/database.ts',
          fileParallelism: false,
          retry,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'long',
          include: long,
          globalSetup: 'test/harness/database.ts',
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 4 },
        },
      },
      {
        test: {
          name: 'storage',
          include: ['test/storage/**/*.test.ts'],
          globalSetup: 'test/harness/database.ts',
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 5 },
        },
      },
    ],
  },
});
