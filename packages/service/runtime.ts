import { createGate, DatabaseKeyRing, Enforcer, RevocationFeed, Sealer, TokenVerifier, type TokenFacts } from '@cumulet/auth';
import { services, type ServiceName, type Settings } from '@cumulet/config';
import { connect, createListener, type Db, type Listener } from '@cumulet/db';
import type { Gate } from '@cumulet/http';
import { createBell, Ends, noBell, Tasks, type AnyPlan, type Bell } from '@cumulet/tasks';
import pino, { type Logger } from 'pino';

/** What a process of Cumulet has open: handed to every service in it. */
export interface Runtime {
  readonly settings: Settings;
  readonly databaseUrl: string;
  readonly db: Db;
  readonly listener: Listener;
  readonly bell: Bell;
  readonly tasks: Tasks;
  /** For replies that are results of tasks. */
  readonly ends: Ends;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** For what the database must not show in clear. */
  readonly sealer: Sealer;
  readonly keys: DatabaseKeyRing;
  readonly revocations: RevocationFeed;
  readonly verifier: TokenVerifier;
  enforcer(service: ServiceName): Promise<Enforcer>;
  gate(service: ServiceName): Promise<Gate>;
  /** What `/healthz` says. */
  health(): Promise<Record<string, boolean>>;
  close(): Promise<void>;
}

export interface RuntimeOptions {
  readonly settings: Settings;
  /** The process, as logs and pg_stat_activity name it. */
  readonly name: string;
  /** What tokens do not carry: from the identity service's `tokenFacts`. */
  facts(db: Db): TokenFacts;
  /** Plans whose tasks may be cancelled or resumed through this process. */
  readonly plans?: readonly AnyPlan[];
}

export const createLog = (settings: Settings, name: string): Logger => pino({
  level: settings.logLevel, base: { service: name, host: settings.host }, timestamp: pino.stdTimeFunctions.isoTime,
  redact: { paths: ['*.password', '*.adminPass', '*.admin_pass', '*.auth_password', '*.token', 'headers["x-auth-token"]', 'headers["x-service-token"]', 'headers["x-subject-token"]'], censor: '***' },
});

/** The address under which clients reach a service: what the catalogue says. */
export const serviceUrl = (settings: Settings, service: ServiceName): string => `http://${settings.publicHost ?? settings.bind}:${settings.ports[service]}`;

export async function openRuntime(o: RuntimeOptions): Promise<Runtime> {
  const { settings } = o;
  if (!settings.databaseUrl) throw new Error('DATABASE_URL is not set');
  const log = createLog(settings, o.name);
  const db = connect({ url: settings.databaseUrl, pool: settings.databasePool, name: `cumulet ${o.name}` });
  const listener = createListener(settings.databaseUrl, log, `cumulet ${o.name}`);
  const bell = settings.redisUrl ? createBell(settings.redisUrl, log) : noBell;
  const sealer = await Sealer.fromFolder(settings.home);
  const keys = await DatabaseKeyRing.open(db, listener, sealer, log);
  const lifetimeSeconds = settings.tokens.lifetimeSeconds + settings.tokens.allowExpiredWindowSeconds;
  const revocations = new RevocationFeed({ db, listener, clock: Date.now, log, lifetimeSeconds });
  await revocations.start();
  const verifier = new TokenVerifier({ keys, revocations, facts: o.facts(db), clock: Date.now, allowExpiredWindowSeconds: settings.tokens.allowExpiredWindowSeconds });
  const enforcers = new Map<string, Promise<Enforcer>>();
  const enforcer = (service: ServiceName): Promise<Enforcer> => {
    let made = enforcers.get(service);
    if (!made) {
      made = Enforcer.open({ service, overrideDir: settings.policyDir, log });
      enforcers.set(service, made);
    }
    return made;
  };
  return {
    settings, databaseUrl: settings.databaseUrl, db, listener, bell, tasks: new Tasks(bell, o.plans), ends: new Ends(db, listener), log, clock: Date.now, sealer, keys, revocations, verifier, enforcer,
    gate: async service => createGate(verifier, await enforcer(service), services[service].types),
    health: async () => ({ database: await db.raw('select 1').then(() => true, () => false) }),
    async close() {
      revocations.stop();
      await bell.close();
      await listener.close();
      await db.destroy();
    },
  };
}
