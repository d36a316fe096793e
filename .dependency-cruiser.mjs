// Imports go one way (DESIGN). A package is found by its workspace name, so what a path may reach is said by folder.
const packages = (names) => `^packages/(${names.join('|')})/`;
const below = {
  wire: [], config: [], exec: [], fetch: [],
  diskimage: ['exec'],
  drivers: ['exec', 'diskimage', 'fetch'],
  db: ['wire'],
  auth: ['db', 'wire'],
  tasks: ['db', 'wire'],
  http: ['auth', 'wire'],
  service: ['auth', 'config', 'db', 'http', 'tasks', 'wire'],
};
const tests = '\\.test\\.ts$|/conformance(\\.ts$|/)|/prover\\.ts$|/testing(\\.ts$|/)';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...Object.entries(below).map(([name, allowed]) => ({
      name: `${name}-goes-downward`, severity: 'error',
      from: { path: `^packages/${name}/`, pathNot: tests },
      to: { path: '^(packages|services|migrations|test)/', pathNot: packages([name, ...allowed]) },
    })),
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'packages-know-no-service', severity: 'error', from: { path: '^packages/' }, to: { path: '^services/' } },
    { name: 'services-by-their-index', comment: 'A service reaches another only through its index.ts.', severity: 'error',
      from: { path: '^services/([^/]+)/', pathNot: tests }, to: { path: '^services/[^/]+/', pathNot: '^services/$1/|^services/[^/]+/index\\.ts$' } },
    { name: 'drivers-know-no-database-http-or-tasks', severity: 'error', from: { path: '^packages/(drivers|exec|diskimage)/' }, to: { path: 'node_modules/(pg|knex|fastify|bullmq|ioredis)/' } },
    { name: 'stores-hold-no-http', severity: 'error', from: { path: '/store\\.ts$' }, to: { path: '^packages/http/|node_modules/fastify/' } },
    { name: 'only-tasks-knows-the-queue', severity: 'error', from: { path: '^(packages|services)/', pathNot: `^packages/tasks/|${tests}` }, to: { path: 'node_modules/bullmq/' } },
    { name: 'only-exec-starts-programs', severity: 'error', from: { path: '^(packages|services)/', pathNot: `^packages/exec/|${tests}` }, to: { path: '^(node:)?child_process$|node_modules/execa/' } },
    { name: 'code-does-not-use-test-code', severity: 'error', from: { path: '^(packages|services)/', pathNot: tests }, to: { path: `^test/|\\.test\\.ts$` } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^node_modules/(?!@cumulet)' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import'], extensions: ['.ts', '.mjs', '.js'] },
  },
};
