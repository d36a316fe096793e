import { createHash, webcrypto } from 'node:crypto';
import { Fault, Unavailable } from '@cumulet/wire';
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
import type { AccessRule, Caller } from '../caller.ts';
import { type Claims, isClaims, maxTokenLength } from './claims.ts';
import type { Clock, KeyRing, RevocationList, TokenFacts } from './contract.ts';

export interface VerifierOptions {
  readonly keys: KeyRing;
  readonly revocations: RevocationList;
  readonly facts: TokenFacts;
  readonly clock: Clock;
  /** Seconds after its end in which a token passes when a service vouches with its own token, so that long tasks finish. */
  readonly allowExpiredWindowSeconds: number;
  /** The roles of which a service's own token must hold one (keystonemiddleware: service_token_roles). */
  readonly serviceRoles?: readonly string[];
  /** Tokens remembered at once. */
  readonly remembered?: number;
}
export interface Checked { readonly claims: Claims; readonly caller: Caller }

interface Known { readonly claims: Claims; caller: Caller; rolesAt: number }

/**
 * Turns a token into its caller without a call: signature, end, revocation. Only roles that changed since, or that were too long to travel, are asked
 * for, once for each change. An unusable token gives undefined; when a database had to be asked and did not answer, that is a 503.
 */
export class TokenVerifier {
  readonly #o: VerifierOptions;
  readonly #known = new Map<string, Known>();
  readonly #imported = new WeakMap<Uint8Array, Promise<webcrypto.CryptoKey>>();
  readonly #rules = new Map<string, readonly AccessRule[]>();
  constructor(options: VerifierOptions) { this.#o = options; }

  /** The caller of a request. A bad service token spoils the request, as in keystonemiddleware. */
  async authenticate(token: string, serviceToken?: string): Promise<Caller | undefined> {
    if (serviceToken === undefined) return (await this.inspect(token))?.caller;
    const service = (await this.inspect(serviceToken))?.caller;
    if (!service) return undefined;
    const vouched = service.roles.some(r => (this.#o.serviceRoles ?? ['service']).includes(r));
    const user = (await this.inspect(token, { allowExpired: vouched }))?.caller;
    if (!user) return undefined;
    return { ...user, serviceRoles: service.roles, serviceUserId: service.userId, ...(service.projectId ? { serviceProjectId: service.projectId } : {}) };
  }

  /** What a token says, when it is good. */
  async inspect(token: string, options: { allowExpired?: boolean } = {}): Promise<Checked | undefined> {
    const { revocations, clock } = this.#o;
    const known = this.#recall(token) ?? await this.#open(token);
    if (!known) return undefined;
    const end = known.claims.e + (options.allowExpired ? this.#o.allowExpiredWindowSeconds : 0);
    if (clock() >= end * 1000) return undefined;
    if (!revocations.isFresh()) await unlessUnreachable(revocations.catchUp());
    const verdict = revocations.verdict(known.claims);
    if (verdict === 'revoked') return undefined;
    const changedAt = verdict === 'valid' ? -1 : verdict.rolesChangedAt;
    if ((changedAt > known.rolesAt) && !(await this.#askRoles(known, changedAt))) return undefined;
    return known;
  }

  #recall(token: string): Known | undefined {
    const known = this.#known.get(token);
    if (known) { this.#known.delete(token); this.#known.set(token, known); }   // most recently used last
    return known;
  }

  async #open(token: string): Promise<Known | undefined> {
    if (token.length > maxTokenLength) return undefined;
    const claims = await this.#checkSignature(token);
    if (!claims) return undefined;
    const accessRules = claims.ar && claims.ac ? await this.#accessRules(claims.ac) : undefined;
    if (claims.ar && !accessRules) return undefined;
    const caller = callerOf(claims, createHash('sha256').update(token).digest('hex').slice(0, 16), accessRules);
    const known: Known = { claims, caller, rolesAt: claims.q };
    const scoped = claims.p !== undefined || claims.d !== undefined || claims.s !== undefined;
    if (scoped && !claims.r && !(await this.#askRoles(known, claims.q))) return undefined;
    this.#known.set(token, known);
    if (this.#known.size > (this.#o.remembered ?? 10_000)) this.#known.delete(this.#known.keys().next().value as string);
    return known;
  }

  /** Only HS256 with a key that the ring knows by its id: the header chooses neither algorithm nor key material. */
  async #checkSignature(token: string): Promise<Claims | undefined> {
    try {
      const { kid, typ } = decodeProtectedHeader(token);
      if (typeof kid !== 'string' || kid.length > 64 || typ !== undefined) return undefined;
      let key = this.#o.keys.byId(kid);
      if (!key) { await unlessUnreachable(this.#o.keys.refresh()); key = this.#o.keys.byId(kid); }
      if (!key) return undefined;
      let imported = this.#imported.get(key.secret);
      if (!imported) {
        imported = webcrypto.subtle.importKey('raw', key.secret as Uint8Array<ArrayBuffer>, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
        this.#imported.set(key.secret, imported);
      }
      const { payload } = await compactVerify(token, await imported, { algorithms: ['HS256'] });
      const claims: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
      return isClaims(claims) ? claims : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof SyntaxError) return undefined;   // not a token of ours
      throw error;
    }
  }

  async #askRoles(known: Known, changedAt: number): Promise<boolean> {
    const roles = await unlessUnreachable(this.#o.facts.currentRoles(known.caller));
    if (!roles) return false;
    if (changedAt >= known.rolesAt) {
      known.caller = { ...known.caller, roles };
      known.rolesAt = changedAt;
    }
    return true;
  }

  /** An application credential's rules never change, so they are asked for once. */
  async #accessRules(appCredId: string): Promise<readonly AccessRule[] | undefined> {
    const kept = this.#rules.get(appCredId);
    if (kept) return kept;
    const rules = await unlessUnreachable(this.#o.facts.accessRules(appCredId));
    if (!rules) return undefined;
    if (this.#rules.size >= 1_000) this.#rules.clear();
    this.#rules.set(appCredId, rules);
    return rules;
  }
}

/** While the database cannot say, a token is neither good nor bad: the caller is asked to come again. */
async function unlessUnreachable<T>(asked: Promise<T>): Promise<T> {
  try { return await asked; } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Unavailable('The token cannot be checked at present. Please try again.', { headers: { 'retry-after': '1' }, cause });
  }
}

function callerOf(c: Claims, tokenHash: string, accessRules: readonly AccessRule[] | undefined): Caller {
  return {
    userId: c.u, userDomainId: c.ud,
    ...(c.p ? { projectId: c.p, projectDomainId: c.pd } : {}), ...(c.d ? { domainId: c.d } : {}), ...(c.s ? { systemScope: 'all' as const } : {}),
    roles: c.r ?? [], isAdminProject: true, methods: c.m, auditIds: c.a, issuedAt: new Date(c.i * 1000), expiresAt: new Date(c.e * 1000),
    ...(c.t ? { trustId: c.t[0], trustorId: c.t[1], trusteeId: c.t[2] } : {}),
    ...(c.ac ? { appCredId: c.ac } : {}), ...(c.x ? { restricted: true } : {}), ...(accessRules ? { accessRules } : {}),
    tokenHash, serviceRoles: [],
  };
}
