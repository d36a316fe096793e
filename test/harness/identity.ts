import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '@cumulet/config';
import { bootstrap, createIdentityApp, tokenFacts, type Bootstrapped } from '@cumulet/identity';
import { openRuntime, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { freshDatabase } from './database.ts';

export interface Answer { readonly status: number; readonly headers: Record<string, unknown>; readonly body: any }   // oxlint-disable-line no-explicit-any
export type Call = (method: string, url: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

export interface IdentityCloud extends Bootstrapped {
  readonly rt: Runtime;
  readonly app: FastifyInstance;
  readonly call: Call;
  /** Calls with a token. */
  as(token: string): Call;
  /** Logs in with a password and gives the token; `scope` defaults to the user's project of the same name. */
  login(user: string | { id: string }, password: string, scope?: object | string): Promise<string>;
  /** The reply to a login, whatever it is. */
  tryLogin(user: string | { id: string }, password: string, scope?: object | string): Promise<Answer>;
  readonly adminToken: string;
  close(): Promise<void>;
}
export const inProject = (name: string, domain = 'default') => ({ project: { name, domain: { id: domain } } });

/** A bootstrapped identity service on a database of its own, with real tokens, keys and rules; passwords equal names, hashing is quick. */
export async function identityCloud(overrides: Record<string, string> = {}): Promise<IdentityCloud> {
  const { url } = await freshDatabase();
  const home = mkdtempSync(join(tmpdir(), 'cumulet-identity-'));
  const settings = loadSettings({ CUMULET_HOME: home, CUMULET_HOST: 'testhost', DATABASE_URL: url, CUMULET_LOG_LEVEL: process.env['LOG'] ?? 'silent', CUMULET_TOKENS_BCRYPT_ROUNDS: '4', CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000', ...overrides }, '/');
  const rt = await openRuntime({ settings, name: 'test', facts: tokenFacts });
  const made = await bootstrap(rt, { passwords: { admin: 'admin', demo: 'demo', service: 'service' } });
  const app = await createIdentityApp(rt);
  await app.ready();
  const call: Call = async (method, path, body, headers = {}) => {
    const r = await app.inject({ method: method as 'GET', url: path, headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }) });
    let parsed: unknown = r.body;
    try { parsed = r.body === '' ? undefined : JSON.parse(r.body); } catch { /* text */ }
    return { status: r.statusCode, headers: r.headers, body: parsed };
  };
  const as = (token: string): Call => (method, path, body, headers = {}) => call(method, path, body, { 'x-auth-token': token, ...headers });
  const tryLogin: IdentityCloud['tryLogin'] = (user, password, scope) => call('POST', '/v3/auth/tokens', {
    auth: {
      identity: { methods: ['password'], password: { user: { ...(typeof user === 'string' ? { name: user, domain: { id: 'default' } } : { id: user.id }), password } } },
      ...(scope === undefined ? (typeof user === 'string' ? { scope: inProject(user) } : {}) : { scope }),
    },
  });
  const login: IdentityCloud['login'] = async (user, password, scope) => {
    const answer = await tryLogin(user, password, scope);
    if (answer.status !== 201) throw new Error(`login of ${JSON.stringify(user)}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.headers['x-subject-token'] as string;
  };
  return {
    ...made, rt, app, call, as, login, tryLogin, adminToken: await login('admin', 'admin'),
    async close() { await app.close(); await rt.close(); rmSync(home, { recursive: true, force: true }); },
  };
}
