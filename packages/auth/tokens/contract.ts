import type { AccessRule, Caller } from '../caller.ts';
import type { Claims } from './claims.ts';

/** Milliseconds since 1970; passed in, so that tests may step it. */
export type Clock = () => number;

/** A key that signs or checks tokens. */
export interface TokenKey { readonly id: string; readonly secret: Uint8Array }

/** The keys of the cloud. Staged keys are known before they sign, retired ones until their last token has ended. */
export interface KeyRing {
  /** The key that signs now. */
  current(): TokenKey;
  byId(id: string): TokenKey | undefined;
  /** Reads the keys again; asked when a token names an unknown key. Concurrent calls share one reading. */
  refresh(): Promise<void>;
}

/** What the feed says of a token: nothing, that it is dead, or that roles read before this position are out of date. */
export type Verdict = 'valid' | 'revoked' | { readonly rolesChangedAt: number };

/**
 * Events that end tokens or change their roles. Kept in memory and looked up without waiting.
 * An event has a position; it concerns tokens whose facts were read before it (`claims.q < position`), so clocks have no say.
 */
export interface RevocationList {
  verdict(claims: Claims): Verdict;
  /** False when events may have been missed: then `catchUp` must come first. */
  isFresh(): boolean;
  /** Reads what is new. Resolves only after a reading that began after the call. */
  catchUp(): Promise<void>;
}

/** Where the facts are that a token does not carry. Given by the identity service; null means that no authorisation is left. */
export interface TokenFacts {
  currentRoles(caller: Caller): Promise<readonly string[] | null>;
  accessRules(appCredId: string): Promise<readonly AccessRule[] | null>;
}
