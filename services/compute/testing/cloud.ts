import { fakeNetwork, type FakeNetwork } from '@cumulet/drivers/network';
import { fakeHypervisor, type FakeHypervisor } from '@cumulet/drivers/hypervisor';
import { images as imageRows, makeApp as imageApp, openImageAccess, openWork as imageWork, type ImageAccess } from '@cumulet/image';
import { bootstrap as networkBootstrap, makeApp as networkApp, networksForCompute, plans as networkPlans } from '@cumulet/network';
import { bootstrap as volumeBootstrap, makeApp as volumeApp, openWork as volumeWork, volumesOf } from '@cumulet/volume';
import type { Work } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { join } from 'node:path';
import { as, callers, testRuntime, type TestRuntime, type Who } from '../../../test/harness/service.ts';
import type { ComputeDeps } from '../deps.ts';
import { ImageCache } from '../image_cache.ts';
import { bootstrap, makeApp, plans } from '../index.ts';
import { diskTravel, serveDisks } from '../work/disks.ts';
import { reportHost } from '../work/host.ts';

export interface TestCloud {
  readonly t: TestRuntime; readonly app: FastifyInstance; readonly volumes: FastifyInstance; readonly images: FastifyInstance; readonly networks: FastifyInstance;
  readonly hypervisor: FakeHypervisor; readonly network: FakeNetwork; readonly deps: ComputeDeps;
  /** By name; `testhost` is the first. */
  readonly hosts: ReadonlyMap<string, TestHost>;
  call(who?: Who): ReturnType<typeof as>;
  /** An active image of 1 MiB. */
  image(o?: { name?: string; properties?: Record<string, string>; diskFormat?: string }): Promise<string>;
  networkId: string;
  /** Makes a server and waits until it runs. */
  server(o?: { who?: Who; version?: string } & Record<string, unknown>): Promise<string>;
  show(id: string, who?: Who, version?: string): Promise<any>;   // oxlint-disable-line no-explicit-any
  act(id: string, body: unknown, o?: { who?: Who; version?: string }): Promise<{ status: number; body: any; headers: Record<string, unknown> }>;   // oxlint-disable-line no-explicit-any
  /** As a worker does every few seconds: hosts and backends are alive. */
  beat(): Promise<void>;
  /** A request that asks the server's host something: the worker runs meanwhile. */
  asking<T>(request: Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface TestHost { readonly hypervisor: FakeHypervisor; readonly network: FakeNetwork; readonly deps: ComputeDeps }

/** Compute with the real services beside it, on hosts that exist on paper. `shared`: their disks are on one storage. */
export async function testCloud(settings: Record<string, string> = {}, o: { hosts?: readonly string[]; shared?: boolean } = {}): Promise<TestCloud> {
  const t = await testRuntime({ CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000', CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', ...settings });
  const { rt } = t;
  const access: ImageAccess = await openImageAccess(rt);
  const [image, volume]: Work[] = await Promise.all([imageWork(rt), volumeWork(rt)]) as [Work, Work];
  const hosts = new Map<string, TestHost & { readonly sending: { close(): Promise<void> } }>();
  for (const host of ['testhost', ...o.hosts ?? []]) {
    // Guests of one host live in memory; those that can move, in folders.
    const hypervisor = fakeHypervisor({ host: { hostname: host, vcpus: 64, memoryMiB: 262_144, diskGiB: 10_000 }, ...(o.hosts ? { dir: join(rt.settings.home, host) } : {}), ...(o.shared ? { storageId: 'shared' } : {}) });
    const network = fakeNetwork();
    const networkDeps = { db: rt.db, driver: network, host, metadataSocket: null, hostAccess: false };
    const seal = { sealer: () => rt.sealer, clock: rt.clock };
    const sending = await serveDisks({ ...seal, host, bind: '127.0.0.1', publicHost: '127.0.0.1', port: 0, hypervisor, log: rt.log });
    const deps: ComputeDeps = {
      db: rt.db, get tasks() { return rt.tasks; }, clock: rt.clock, settings: rt.settings, host, hypervisor, access, cache: new ImageCache(join(rt.settings.home, 'instances', '_base'), access, undefined),
      sealer: seal.sealer, disks: diskTravel({ ...seal, db: rt.db }), disksUrl: sending.url,
      images: imageRows, volumes: volumesOf(rt), networks: networksForCompute({ db: rt.db, get tasks() { return rt.tasks; }, host: networkDeps } as never),
    };
    hosts.set(host, { hypervisor, network, deps, sending });
    const work = [{ plans, deps }, { plans: networkPlans, deps: networkDeps }];
    if (host === 'testhost') t.serve(...work, image as Work, volume as Work); else t.serveOn(host, ...work);
  }
  const { hypervisor, network, deps } = hosts.get('testhost') as TestHost;
  const seed = { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string, service: callers.service.projectId as string } };
  await networkBootstrap(rt, seed);
  await volumeBootstrap(rt);
  await bootstrap(rt);
  await volume?.start?.();
  await volume?.facts?.();
  for (const h of hosts.values()) await reportHost(h.deps, rt.log);
  await t.drain();
  const [app, volumes, images, networks] = await Promise.all([makeApp(rt), volumeApp(rt), imageApp(rt), networkApp(rt)]);
  const networkId = (await rt.db('networks').where({ name: 'private' }).first('id') as { id: string }).id;
  const call = (who: Who = 'demo') => as(app, who, 'compute');
  let defaultImage: string | undefined;
  let beaten = 0;
  const cloud: TestCloud = {
    t, app, volumes, images, networks, hypervisor, network, deps, hosts, networkId, call,
    async image(o = {}) {
      const made = await as(images, 'admin')('POST', '/v2/images', { name: o.name ?? 'tiny', disk_format: o.diskFormat ?? 'raw', container_format: 'bare', visibility: 'public', ...o.properties });
      await as(images, 'admin')('PUT', `/v2/images/${made.body.id}/file`, Buffer.alloc(1024), undefined, { 'content-type': 'application/octet-stream' });
      return made.body.id as string;
    },
    async server({ who = 'demo', version, ...more } = {}) {
      defaultImage ??= await cloud.image();
      await cloud.beat();
      const { body, status } = await call(who)('POST', '/v2.1/servers', { server: { name: 's', flavorRef: 'nano', imageRef: defaultImage, networks: [{ uuid: networkId }], ...more } }, version);
      if (status !== 202) throw new Error(`${status} ${JSON.stringify(body)}`);
      await t.drain();
      return body.server.id as string;
    },
    async show(id, who = 'admin', version) { return (await call(who)('GET', `/v2.1/servers/${id}`, undefined, version)).body.server; },
    act: (id, body, o = {}) => call(o.who ?? 'demo')('POST', `/v2.1/servers/${id}/action`, body, o.version),
    async beat() {
      // Often enough for everybody who asks when a host was last seen.
      if (Date.now() - beaten < 8_000) return;
      beaten = Date.now();
      for (const h of hosts.values()) await reportHost(h.deps, rt.log); await volume?.facts?.(); for (const job of volume?.periodic ?? []) await job.run();
    },
    async asking(request) {
      let over = false;
      const work = (async () => { while (!over) { await t.drain(); await new Promise(r => setTimeout(r, 5)); } })();
      try { return await request; } finally { over = true; await work; }
    },
    async close() {
      await Promise.all([app.close(), volumes.close(), images.close(), networks.close()]);
      for (const h of hosts.values()) await h.sending.close();
      await image?.close?.(); await volume?.close?.(); await access.close();
      await t.close();
    },
  };
  return cloud;
}
