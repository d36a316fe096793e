import { Enforcer, Sealer, type Caller } from '@cumulet/auth';
import { loadSettings, type ServiceName, type Settings } from '@cumulet/config';
import { connect, createListener } from '@cumulet/db';
import type { Gate } from '@cumulet/http';
import type { Runtime, Work } from '@cumulet/service';
import { Ends, noBell, Runner, Tasks, type AnyPlan, type Faults } from '@cumulet/tasks';
import type { FastifyInstance } from 'fastify';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { freshDatabase } from './database.ts';

const caller = (userId: string, projectId: string, roles: string[], more: Partial<Caller> = {}): Caller => ({
  userId, userDomainId: 'default', projectId, projectDomainId: 'default', roles, isAdminProject: true, methods: ['password'], auditIds: [userId], issuedAt: new Date(0), expiresAt: new Date(4e12), tokenHash: userId, serviceRoles: [], ...more,
});
/** Who may call in tests of one service: the token is the name. */
export const callers = {
  admin: caller('a'.repeat(32), 'ad'.repeat(16), ['admin', 'manager', 'member', 'reader']),
  demo: caller('d'.repeat(32), 'de'.repeat(16), ['member', 'reader']),
  reader: caller('b'.repeat(32), 'de'.repeat(16), ['reader']),
  other: caller('c'.repeat(32), 'cc'.repeat(16), ['member', 'reader']),
  service: caller('e'.repeat(32), 'ee'.repeat(16), ['service', 'admin', 'member', 'reader'], { serviceRoles: ['service'] }),
} as const;
export type Who = keyof typeof callers;

export interface TestRuntime {
  readonly rt: Runtime;
  /** Runs every due task until none is left (parked ones excepted). Time-outs and back-offs are skipped over. */
  drain(): Promise<void>;
  /** One runner on the given work, for tests of crashes. */
  runner(faults?: Faults): Pick<Runner, 'run'>;
  /** Brings the work whose tasks `drain` runs. */
  serve(...work: Pick<Work, 'plans' | 'deps'>[]): void;
  /** The work of a further host: tasks of its queue run there. */
  serveOn(host: string, ...work: Pick<Work, 'plans' | 'deps'>[]): void;
  close(): Promise<void>;
}

/** A runtime on a database of its own, without HTTP ports, Redis or tokens: policy files and everything else are real. */
export async function testRuntime(overrides: Record<string, string> = {}): Promise<TestRuntime> {
  const { url } = await freshDatabase();
  const home = mkdtempSync(join(tmpdir(), 'cumulet-test-'));
  const settings: Settings = loadSettings({ CUMULET_HOME: home, CUMULET_HOST: 'testhost', CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000', DATABASE_URL: url, ...overrides }, '/');
  const log = pino({ level: overrides['LOG'] ?? 'silent' });
  const db = connect({ url, pool: 10, name: 'test' });
  const listener = createListener(url, log, 'test');
  const registered: Pick<Work, 'plans' | 'deps'>[] = [];
  const others = new Map<string, Pick<Work, 'plans' | 'deps'>[]>();
  const sealer = new Sealer([randomBytes(32)]);
  const known: AnyPlan[] = [];
  const enforcer = (service: ServiceName) => Enforcer.open({ service, log });
  const rt: Runtime = {
    settings, databaseUrl: url, db, listener, bell: noBell, tasks: new Tasks(noBell), ends: new Ends(db, listener), log, clock: Date.now, enforcer,
    async gate(service): Promise<Gate> {
      const rules = await enforcer(service);
      return { authenticate: async token => (Object.hasOwn(callers, token) ? callers[token as Who] : undefined), allows: (rule, who, target) => rules.check(rule, who, target) };
    },
    health: async () => ({ database: true }),
    close: async () => { await listener.close(); await db.destroy(); },
    sealer, get keys(): never { throw new Error('no keys'); }, get revocations(): never { throw new Error('no revocations'); }, get verifier(): never { throw new Error('no verifier'); },
  };
  const runnerOf = (host: string, work: readonly Pick<Work, 'plans' | 'deps'>[], faults?: Faults) => {
    const r = new Runner({ db, bell: noBell, log, host, owner: `test-${Math.random()}`, leaseSeconds: 5, sweepSeconds: 3600, concurrency: 4, ...(faults ? { faults } : {}) });
    for (const w of work) r.register(w.plans, w.deps);
    return r;
  };
  const runner = (faults?: Faults): Pick<Runner, 'run'> => {
    const here = runnerOf('testhost', registered, faults);
    if (others.size === 0) return here;
    const there = new Map([...others].map(([host, work]) => [`host/${host}`, runnerOf(host, work, faults)]));
    return { async run(id) { const row = await db('tasks').where({ id }).first('queue') as { queue: string } | undefined; await (there.get(row?.queue ?? '') ?? here).run(id); } };
  };
  return {
    rt, runner,
    serve(...work) { registered.push(...work); known.push(...work.flatMap(w => w.plans)); Object.assign(rt, { tasks: new Tasks(noBell, known) }); },
    serveOn(host, ...work) { others.set(host, work); },
    async drain() {
      const r = runner();
      for (;;) {
        await db('tasks').where({ live: true }).whereNot({ state: 'parked' }).whereNull('owner').update({ run_after: db.fn.now() });
        const due: { id: string }[] = await db('tasks as t').where({ live: true }).whereNot({ state: 'parked' }).whereRaw('not exists (select 1 from tasks e where e.lane = t.lane and e.live and e.seq < t.seq)').orderBy('seq').select('id');
        if (due.length === 0) return;
        for (const { id } of due) await r.run(id);
      }
    },
    async close() { await rt.close(); rmSync(home, { recursive: true, force: true }); },
  };
}

export interface Answer { readonly status: number; readonly headers: Record<string, unknown>; readonly body: never }
/** `as(app, 'demo')('POST', '/v3/volumes', {…}, '3.50')`: a call of one service. The body of the answer is whatever it is; tests know. */
export const as = (app: FastifyInstance, who: Who, service?: string) => async (method: string, url: string, body?: unknown, version?: string, headers: Record<string, string> = {}): Promise<{ status: number; headers: Record<string, unknown>; body: any }> => {   // oxlint-disable-line no-explicit-any
  const r = await app.inject({
    method: method as 'GET', url,
    headers: { 'x-auth-token': who, accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(version === undefined ? {} : { 'openstack-api-version': `${service} ${version}` }), ...headers },
    ...(body === undefined ? {} : { payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
  });
  let parsed: unknown = r.body;
  try { parsed = r.body === '' ? undefined : JSON.parse(r.body); } catch { /* not JSON: a file or text */ }
  return { status: r.statusCode, headers: r.headers, body: parsed };
};
