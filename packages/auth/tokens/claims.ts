/**
 * What a signed token says. Keys are short because every request carries them.
 * A token holds everything that a service must know, so that none asks identity; what may change under it
 * (roles, being enabled) is found through the revocation feed.
 */
export interface Claims {
  /** User and the user's domain. */
  readonly u: string;
  readonly ud: string;
  /** Project and its domain, or domain, or system: the scope. */
  readonly p?: string | undefined;
  readonly pd?: string | undefined;
  readonly d?: string | undefined;
  readonly s?: 1 | undefined;
  /** Role names; absent when they are too long to travel: the verifier then asks for them. */
  readonly r?: readonly string[] | undefined;
  readonly m: readonly string[];
  /** Audit ids: own, and the chain's first. */
  readonly a: readonly [string, ...string[]];
  /** Issued at and expires, whole seconds since 1970, as keystone prints them. */
  readonly i: number;
  readonly e: number;
  /** The revocation feed's position when the token's facts were read: later events apply to it, earlier ones do not. */
  readonly q: number;
  /** Trust, its trustor and trustee. */
  readonly t?: readonly [trust: string, trustor: string, trustee: string] | undefined;
  /** Application credential; `x` when it is restricted, `ar` when it has access rules. */
  readonly ac?: string | undefined;
  readonly x?: 1 | undefined;
  readonly ar?: 1 | undefined;
}

/** Bytes of role names that a token carries; above, the verifier looks them up. */
export const rolesBytes = 1_024;
/** Longest token that is looked at at all. */
export const maxTokenLength = 4_096;

const text = (v: unknown): v is string => typeof v === 'string' && v.length > 0;
const texts = (v: unknown): v is string[] => Array.isArray(v) && v.every(text);
const absentOr = (test: (v: unknown) => boolean, v: unknown) => v === undefined || test(v);

/** A signature says that we made it; this says that this version of us understands it. */
export function isClaims(v: unknown): v is Claims {
  if (typeof v !== 'object' || v === null) return false;
  const c = v as Record<string, unknown>;
  return text(c['u']) && text(c['ud']) && absentOr(text, c['p']) && absentOr(text, c['pd']) && absentOr(text, c['d']) && absentOr(x => x === 1, c['s']) && absentOr(texts, c['r'])
    && texts(c['m']) && texts(c['a']) && c['a'].length > 0 && Number.isSafeInteger(c['i']) && Number.isSafeInteger(c['e']) && Number.isSafeInteger(c['q'])
    && absentOr(t => texts(t) && t.length === 3, c['t']) && absentOr(text, c['ac']) && absentOr(x => x === 1, c['x']) && absentOr(x => x === 1, c['ar']);
}
