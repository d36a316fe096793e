import { defineConfig } from 'vitest/config';

// `npm test` runs both projects. `parts` are the tests beside the code, on a real Postgres and Redis; `whole` starts
// clouds of its own with `npm start`, one at a time, because each owns bridges, guests and two processors' worth of work.
export default defineConfig({
  test: {
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-results.json' }]] : ['default'],
    projects: [
      {
        test: {
          name: 'parts',
          include: ['packages/**/*.test.ts', 'services/**/*.test.ts', 'setup/**/*.test.ts', 'test/harness/*.test.ts'],
          globalSetup: 'test/harness/database.ts',
          testTimeout: 20_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'whole',
          include: ['test/**/*.test.ts'],
          exclude: ['test/harness/**'],
          globalSetup: 'test/harness/database.ts',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
