import { afterCommit, type Db, type Listener, notify, type Trx } from '@cumulet/db';
import { sharedNext } from '../coalesce.ts';
import type { Claims } from './claims.ts';
import type { Clock, RevocationList, Verdict } from './contract.ts';

/**
 * One event. Members that are set must all match the token. `revoked` ends it; `roles` makes verifiers read its roles again
 * (assignments, groups, implied roles), so that a role that is gone counts no longer and a token that still has others lives on.
 */
export interface Revocation {
  readonly kind: 'revoked' | 'roles';
  /** One token, or all that descend from the same first one. */
  readonly auditId?: string | undefined;
  readonly auditChainId?: string | undefined;
  readonly trustId?: string | undefined;
  readonly appCredId?: string | undefined;
  /** The token's user, or the trustor or trustee of its trust. */
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  /** The domain of the user, of the project, or that the token is scoped to. */
  readonly domainId?: string | undefined;
}
interface Event extends Revocation { readonly position: number; readonly expiresAt: number }
interface EventRow {
  readonly position: number; readonly kind: Revocation['kind']; readonly expires_at: Date; readonly audit_id: string | null; readonly audit_chain_id: string | null;
  readonly trust_id: string | null; readonly app_cred_id: string | null; readonly user_id: string | null; readonly project_id: string | null; readonly domain_id: string | null;
}

const channel = 'cumulet_revocations';
/** Held while an event is written, so that positions become visible in their order. */
const orderLock = 7_264_002;

/** The members by which an event is filed, most selective first. */
const filed = ['auditId', 'auditChainId', 'trustId', 'appCredId', 'userId', 'projectId', 'domainId'] as const;

/** The newest position. Read it first, then the facts that a token is made of, then sign: a change in between is an event after it. */
export async function feedPosition(trx: Trx): Promise<number> {
  const rows: { position: number | null }[] = await trx('revocations').max('position as position');
  return rows[0]?.position ?? 0;
}

/** Writes an event with the caller's transaction. `lifetimeSeconds` is the longest that a token in existence can still be shown. */
export async function revoke(trx: Trx, event: Revocation, lifetimeSeconds: number): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(?)', [orderLock]);
  await trx('revocations').insert({
    kind: event.kind, audit_id: event.auditId, audit_chain_id: event.auditChainId, trust_id: event.trustId, app_cred_id: event.appCredId,
    user_id: event.userId, project_id: event.projectId, domain_id: event.domainId,
    revoked_at: trx.fn.now(), expires_at: trx.raw(`now() + make_interval(secs => ?)`, [lifetimeSeconds]),
  });
  await notify(trx, channel, '');
}

/** Deletes events that no living token can meet any more. */
export const pruneRevocations = (db: Db): Promise<number> => db('revocations').where('expires_at', '<', db.fn.now()).delete();

export interface FeedOptions {
  readonly db: Db;
  readonly listener: Listener;
  readonly clock: Clock;
  readonly log: { warn(fields: object, message: string): void };
  /** Seconds that an event must be kept: token lifetime and the window for expired ones. */
  readonly lifetimeSeconds: number;
  /** Milliseconds between looks that do not rely on notices. */
  readonly pollMs?: number;
}

/** All events of the cloud in memory, kept up by notices. While the notices are cut off, `isFresh` is false and verifiers ask first. */
export class RevocationFeed implements RevocationList {
  readonly #o: FeedOptions;
  readonly #byKey = new Map<string, Event[]>();
  #position = 0;
  #readAt = Number.NEGATIVE_INFINITY;
  #pruneAt = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly catchUp: () => Promise<void>;

  constructor(options: FeedOptions) {
    this.#o = options;
    this.catchUp = sharedNext(() => this.#read());
  }

  async start(): Promise<void> {
    const soon = () => { this.#readAt = Number.NEGATIVE_INFINITY; this.catchUp().catch((err: unknown) => this.#o.log.warn({ err }, 'revocations could not be read; verifiers ask the database')); };
    await this.#o.listener.listen(channel, soon, soon);
    await this.catchUp();
    this.#timer = setInterval(() => { this.catchUp().catch((err: unknown) => this.#o.log.warn({ err }, 'revocations could not be read; verifiers ask the database')); }, this.#o.pollMs ?? 2_000);
    this.#timer.unref();
  }
  stop(): void { clearInterval(this.#timer); }

  /** Writes an event; once it is committed this process knows it, before the request that made it is answered. */
  async revoke(trx: Trx, event: Revocation): Promise<void> {
    await revoke(trx, event, this.#o.lifetimeSeconds);
    // When this reading fails the feed is not fresh, and the next token waits for one that succeeds.
    afterCommit(trx, () => { this.#readAt = Number.NEGATIVE_INFINITY; return this.catchUp().catch((err: unknown) => this.#o.log.warn({ err }, 'a revocation is not yet known here; verifiers ask the database')); });
  }

  isFresh(): boolean { return this.#o.listener.connected && performance.now() - this.#readAt < 3 * (this.#o.pollMs ?? 2_000); }

  verdict(claims: Claims): Verdict {
    let rolesChangedAt = -1;
    const look = (key: string): boolean => {
      const events = this.#byKey.get(key);
      if (!events) return false;
      for (const e of events) {
        if (e.position <= claims.q && e.auditId === undefined && e.auditChainId === undefined) continue;
        if (!concerns(e, claims)) continue;
        if (e.kind === 'revoked') return true;
        if (e.position > rolesChangedAt) rolesChangedAt = e.position;
      }
      return false;
    };
    for (const key of keysOf(claims)) if (look(key)) return 'revoked';
    return rolesChangedAt < 0 || (claims.p === undefined && claims.d === undefined && claims.s === undefined) ? 'valid' : { rolesChangedAt };
  }

  async #read(): Promise<void> {
    const began = performance.now();
    const rows: EventRow[] = await this.#o.db('revocations').where('position', '>', this.#position).orderBy('position');
    for (const r of rows) {
      this.#file({
        kind: r.kind, auditId: r.audit_id ?? undefined, auditChainId: r.audit_chain_id ?? undefined, trustId: r.trust_id ?? undefined, appCredId: r.app_cred_id ?? undefined,
        userId: r.user_id ?? undefined, projectId: r.project_id ?? undefined, domainId: r.domain_id ?? undefined, position: r.position, expiresAt: r.expires_at.getTime(),
      });
      this.#position = r.position;
    }
    this.#readAt = began;
    const now = this.#o.clock();
    if (now > this.#pruneAt) { this.#pruneAt = now + 600_000; this.#prune(now); }
  }

  /** A later event of the same reach makes the earlier one superfluous. */
  #file(event: Event): void {
    const member = filed.find(m => event[m] !== undefined);
    const key = member === undefined ? '*' : `${member}=${event[member]}`;
    const others = (this.#byKey.get(key) ?? []).filter(e => e.kind !== event.kind || filed.some(m => e[m] !== event[m]));
    this.#byKey.set(key, [...others, event]);
  }
  #prune(now: number): void {
    for (const [key, events] of this.#byKey) {
      const living = events.filter(e => e.expiresAt > now);
      if (living.length === 0) this.#byKey.delete(key); else if (living.length < events.length) this.#byKey.set(key, living);
    }
  }
}

const people = (c: Claims): readonly (string | undefined)[] => [c.u, c.t?.[1], c.t?.[2]];
const domains = (c: Claims): readonly (string | undefined)[] => [c.ud, c.pd, c.d];

function* keysOf(c: Claims): Generator<string> {
  yield `auditId=${c.a[0]}`;
  yield `auditChainId=${c.a.at(-1)}`;
  if (c.t) yield `trustId=${c.t[0]}`;
  if (c.ac) yield `appCredId=${c.ac}`;
  for (const user of new Set(people(c))) if (user) yield `userId=${user}`;
  if (c.p) yield `projectId=${c.p}`;
  for (const domain of new Set(domains(c))) if (domain) yield `domainId=${domain}`;
  yield '*';
}

const concerns = (e: Event, c: Claims): boolean =>
  (e.auditId === undefined || e.auditId === c.a[0]) && (e.auditChainId === undefined || e.auditChainId === c.a.at(-1)) && (e.trustId === undefined || e.trustId === c.t?.[0])
  && (e.appCredId === undefined || e.appCredId === c.ac) && (e.userId === undefined || people(c).includes(e.userId)) && (e.projectId === undefined || e.projectId === c.p)
  && (e.domainId === undefined || domains(c).includes(e.domainId));
