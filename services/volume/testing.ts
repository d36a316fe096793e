import { fakeBackupDriver, type FakeBackupDriver } from '@cumulet/drivers/backup';
import { fakeBlockDriver, type FakeBlockDriver } from '@cumulet/drivers/block';
import type { FastifyInstance } from 'fastify';
import { newId } from '@cumulet/wire';
import { as, callers, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import type { VolumeDeps } from './deps.ts';
import { bootstrap, makeApp, openWork } from './index.ts';
import { reportTargets } from './backups/targets.ts';
import { reportBackends } from './work.ts';

/** A volume service on fake backends that tests can look into. */
export interface TestCloud {
  readonly t: TestRuntime;
  readonly app: FastifyInstance;
  readonly demo: ReturnType<typeof as>;
  readonly admin: ReturnType<typeof as>;
  readonly other: ReturnType<typeof as>;
  readonly drivers: ReadonlyMap<string, FakeBlockDriver>;
  /** What steps use, for tests that put something else in its place. */
  readonly deps: VolumeDeps;
  /** Where backups go. */
  readonly target: FakeBackupDriver;
  /** The backends' reports, again. */
  report(): Promise<void>;
  /** A demo volume that is there. */
  volume(body?: object, version?: string): Promise<string>;
  /** As if somebody had it attached, though not through compute. */
  inUse(id: string): Promise<void>;
  show(id: string, version?: string): Promise<Record<string, any>>;   // oxlint-disable-line no-explicit-any
  close(): Promise<void>;
}

/** `one` and `two` by name; `settings` as CUMULET_ variables without that prefix would say it. */
export async function testCloud(o: { backends?: readonly { name: string; totalGiB?: number; volumeBackendName?: string; maxOverSubscriptionRatio?: number }[]; scheduler?: object } = {}): Promise<TestCloud> {
  const backends = (o.backends ?? [{ name: 'one' }, { name: 'two' }]).map(b => ({ driver: 'fake' as const, ...b }));
  const t = await testRuntime();
  const { volume } = t.rt.settings;
  Object.assign(volume, { backends: backends.map(b => ({ format: 'raw', reservedPercentage: 0, maxOverSubscriptionRatio: 20, totalGiB: 1_000, ...b })), scheduler: { ...volume.scheduler, ...o.scheduler } });
  const drivers = new Map<string, FakeBlockDriver>();
  const target = fakeBackupDriver();
  await bootstrap(t.rt);
  const work = await openWork(t.rt, (_, b) => {
    const driver = fakeBlockDriver({ name: b.name, pools: [{ name: b.name, totalGiB: b.totalGiB, maxOverSubscriptionRatio: b.maxOverSubscriptionRatio, capabilities: { multiattach: true } }] });
    drivers.set(b.name, driver);
    return driver;
  }, () => target);
  t.serve(work);
  await work.start?.();
  const app = await makeApp(t.rt);
  const demo = as(app, 'demo', 'volume');
  const show = async (id: string, version = '3.71') => (await as(app, 'admin', 'volume')('GET', `/v3/volumes/${id}`, undefined, version)).body.volume;
  return {
    t, app, demo, deps: work.deps as VolumeDeps, admin: as(app, 'admin', 'volume'), other: as(app, 'other', 'volume'), drivers, target, show,
    report: async () => { await reportBackends(t.rt, drivers); await reportTargets(t.rt, new Map([['backups', target]])); },
    async inUse(id) {
      await t.rt.db('volume_attachments').insert({ id: newId(), volume_id: id, project_id: callers.demo.projectId, status: 'attached', multiattach: false });
      await t.rt.db('volumes').where({ id }).update({ status: 'in-use' });
    },
    async volume(body = {}, version) {
      const r = await demo('POST', '/v3/volumes', { volume: { size: 1, ...body } }, version);
      if (r.status !== 202) throw new Error(JSON.stringify(r.body));
      await t.drain();
      return r.body.volume.id;
    },
    async close() { await work.close?.(); await app.close(); await t.close(); },
  };
}
/** The sentence of a refusal. */
export const sentence = (r: { body: unknown }): string => String((Object.values(r.body as Record<string, { message: string }>)[0])?.message);
