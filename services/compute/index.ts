/**
 * The compute service (Nova v2.1, microversions 2.1 to 2.104). `openWork` runs on each host that has servers; the metadata service is part of it.
 */
export { makeApp } from './app.ts';
export { bootstrap } from './bootstrap.ts';
export { versions } from './changes.ts';
export { computePlans as plans } from './plans/index.ts';
export { openWork } from './work.ts';
