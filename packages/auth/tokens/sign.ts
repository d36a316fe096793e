import { randomBytes } from 'node:crypto';
import { CompactSign } from 'jose';
import { type Claims, rolesBytes } from './claims.ts';
import type { KeyRing } from './contract.ts';

/** Names one token in logs and revocations without being it: 22 characters, as keystone's. */
export const newAuditId = (): string => randomBytes(16).toString('base64url');

/** Makes tokens with the ring's current key. */
export class TokenSigner {
  readonly #keys: KeyRing;
  constructor(keys: KeyRing) { this.#keys = keys; }

  /** `claims.e` is what the caller may have at most; a rescoped token must be given its parent's. */
  async sign(claims: Claims): Promise<string> {
    const key = this.#keys.current();
    const tooLong = claims.r !== undefined && Buffer.byteLength(JSON.stringify(claims.r)) > rolesBytes;
    const carried: Claims = tooLong ? { ...claims, r: undefined } : claims;
    return new CompactSign(Buffer.from(JSON.stringify(carried))).setProtectedHeader({ alg: 'HS256', kid: key.id }).sign(key.secret);
  }
}
