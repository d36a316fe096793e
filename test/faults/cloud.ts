import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Db } from '@cumulet/db';
import { startCloud, type Port, type TestCloud } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';

export interface Answer { readonly status: number; readonly body: any }   // oxlint-disable-line no-explicit-any
type Kind = 'server' | 'volume';

/** A cloud whose processes are killed: real Postgres, Redis and disk files, servers and networks on paper. */
export interface FaultyCloud {
  readonly cloud: TestCloud;
  /** Ids of the project demo, of the image and of the network that `npm start` has made. */
  readonly project: string;
  readonly image: string;
  readonly network: string;
  db(): Db;
  /** A request of the demo user. Repeated while no service answers (a client that gives up is no test): `unanswered` counts those. */
  call(service: Port, method: string, path: string, body?: unknown, as?: 'demo' | 'admin'): Promise<Answer>;
  /** Bytes, once: no second try. */
  send(service: Port, method: string, path: string, body: Buffer | ReadableStream): Promise<Response>;
  unanswered: number;
  makeServer(name: string): Promise<string>;
  makeVolume(name: string): Promise<string>;
  act(serverId: string, action: string): Promise<Answer>;
  remove(kind: Kind, id: string): Promise<Answer>;
  /** Until no task is alive; how long that took does not matter, only that it ends. */
  settled(timeoutMs?: number): Promise<void>;
  /** The statuses of resources in the order of their ids; 404 for those that are gone. */
  statuses(kind: Kind, ids: readonly string[]): Promise<string[]>;
  end(): Promise<void>;
}

/** `env`: settings over those of the harness. */
export async function faultyCloud(env: Readonly<Record<string, string>> = {}): Promise<FaultyCloud> {
  const cloud = await start(env);
  return control(cloud).catch(async (error: unknown) => {
    await cloud.end();
    throw error;
  });
}

const start = (env: Readonly<Record<string, string>>) => startCloud({ readyMs: 300_000, env: {
  CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_HYPERVISOR_FAKE_DELAY_MS: '50',
  CUMULET_WORKER_LEASE_SECONDS: '2', CUMULET_WORKER_SWEEP_SECONDS: '1', CUMULET_WORKER_CONCURRENCY: '24', CUMULET_DATABASE_POOL: '40', CUMULET_TOKENS_BCRYPT_ROUNDS: '4', CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '20000', ...env,
} });

async function control(cloud: TestCloud): Promise<FaultyCloud> {
  const settings = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { databaseUrl: string };
  const db = connect({ url: settings.databaseUrl, pool: 4, name: 'faults' });
  const tokens = { demo: '', admin: '' };

  const ask = async (service: Port, method: string, path: string, body?: unknown, as: 'demo' | 'admin' = 'demo'): Promise<Response> => fetch(`http://127.0.0.1:${cloud.ports[service]}${path}`, {
    method, headers: { 'content-type': 'application/json', 'openstack-api-version': 'compute 2.74, volume 3.70', 'x-auth-token': tokens[as] }, ...(body === undefined ? {} : { body: JSON.stringify(body) }), signal: AbortSignal.timeout(30_000),
  });
  const login = async (name: 'demo' | 'admin') => {
    const passwords = JSON.parse(readFileSync(join(cloud.home, 'passwords.json'), 'utf8')) as { demo: string; admin: string };
    const who = { name, domain: { id: 'default' } };
    const answer = await ask('identity', 'POST', '/v3/auth/tokens', { auth: { identity: { methods: ['password'], password: { user: { ...who, password: passwords[name] } } }, scope: { project: who } } });
    if (answer.status !== 201) throw new Error(`no token: ${answer.status} ${await answer.text()}`);
    tokens[name] = answer.headers.get('x-subject-token') as string;
    return (await answer.json() as { token: { project: { id: string } } }).token.project.id;
  };
  const project = await login('demo');
  await login('admin');
  const found = async (service: Port, path: string): Promise<any> => (await ask(service, 'GET', path)).json();   // oxlint-disable-line no-explicit-any
  const image = (await found('image', '/v2/images?name=tiny')).images[0].id as string;
  const network = (await found('network', '/v2.0/networks?name=private')).networks[0].id as string;
  // The quotas of a small project are in the way of many servers at once.
  await db('quotas').insert([['compute', 'instances'], ['compute', 'cores'], ['compute', 'ram'], ['volume', 'volumes'], ['volume', 'gigabytes'], ['volume', 'snapshots'], ['volume', 'backups'], ['volume', 'backup_gigabytes']].map(([service, resource]) => ({ service, resource, project_id: project, hard_limit: -1 })));

  const f: FaultyCloud = {
    cloud, project, image, network, unanswered: 0,
    db: () => db,
    async call(service, method, path, body, as) {
      let answer: Response | undefined;
      let last = '';
      await eventually(async () => {
        const got = await ask(service, method, path, body, as).catch((error: unknown) => { last = String(error); });
        if (got === undefined || got.status === 503) {
          last = got ? await got.text() : last;
          f.unanswered++;
          return false;
        }
        answer = got;
        return true;
      }, 300_000, `${method} ${path}`).catch((error: unknown) => { throw new Error(`${String(error)}: ${last}`, { cause: error }); });
      const text = await (answer as Response).text();
      return { status: (answer as Response).status, body: text === '' || !(answer as Response).headers.get('content-type')?.includes('json') ? undefined : JSON.parse(text) };
    },
    send: (service, method, path, body) => fetch(`http://127.0.0.1:${cloud.ports[service]}${path}`, {
      method, headers: { 'content-type': 'application/octet-stream', 'x-auth-token': tokens.demo }, body: body as RequestInit['body'], duplex: 'half', signal: AbortSignal.timeout(120_000),
    } as RequestInit),
    async makeServer(name) {
      // A root disk of the host's own and a volume that is made and goes with the server.
      const devices = [{ uuid: image, source_type: 'image', destination_type: 'local', boot_index: 0, delete_on_termination: true }, { source_type: 'blank', destination_type: 'volume', volume_size: 1, delete_on_termination: true }];
      const answer = await f.call('compute', 'POST', '/v2.1/servers', { server: { name, flavorRef: 'nano', imageRef: image, networks: [{ uuid: network }], block_device_mapping_v2: devices } });
      if (answer.status !== 202) throw new Error(`POST /servers: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body.server.id as string;
    },
    async makeVolume(name) {
      const answer = await f.call('volume', 'POST', `/v3/${project}/volumes`, { volume: { name, size: 1 } });
      if (answer.status !== 202) throw new Error(`POST /volumes: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body.volume.id as string;
    },
    act: (id, action) => f.call('compute', 'POST', `/v2.1/servers/${id}/action`, { [action]: null }),
    remove: (kind, id) => (kind === 'server' ? f.call('compute', 'DELETE', `/v2.1/servers/${id}`) : f.call('volume', 'DELETE', `/v3/${project}/volumes/${id}`)),
    async settled(timeoutMs = 90_000) {
      let left: unknown[] = [];
      await eventually(async () => {
        left = await db('tasks').where({ live: true }).select('plan', 'state', 'step', 'attempt', 'resource_id', 'run_after', 'error');
        return left.length === 0;
      }, timeoutMs, 'the end of every task').catch((error: unknown) => { throw new Error(`${String(error)}: ${JSON.stringify(left, null, 1)}`, { cause: error }); });
    },
    statuses: (kind, ids) => Promise.all(ids.map(async (id) => {
      const { status, body } = kind === 'server' ? await f.call('compute', 'GET', `/v2.1/servers/${id}`) : await f.call('volume', 'GET', `/v3/${project}/volumes/${id}`);
      return status === 200 ? body[kind].status as string : String(status);
    })),
    async end() {
      await db.destroy();
      await cloud.end();
    },
  };
  return f;
}
