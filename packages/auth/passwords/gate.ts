import { TooManyRequests } from '@cumulet/wire';
import type { Clock } from '../tokens/contract.ts';

export interface GateLimits {
  /** Failed logins that one user from one address may have in hand; they come back one by one over `refillSeconds` each. */
  readonly failures: number;
  readonly refillSeconds: number;
  /** Logins of one user from one address that may be under way at once. */
  readonly underway: number;
}

/**
 * Bounds what one guesser can cost: per name and address, whether or not the name exists, so that nothing is learnt from it.
 * A correct password costs nothing of the allowance.
 */
export class LoginGate {
  readonly #limits: GateLimits;
  readonly #clock: Clock;
  readonly #seen = new Map<string, { failures: number; at: number; underway: number }>();
  constructor(limits: GateLimits, clock: Clock) { this.#limits = limits; this.#clock = clock; }

  /** Runs a login; `work` says whether the password was right. Throws 429 when the allowance is used up. */
  async pass(user: string, address: string, work: () => Promise<boolean>): Promise<boolean> {
    const key = JSON.stringify([user, address]);
    const now = this.#clock();
    const entry = this.#entry(key, now);
    if (entry.failures >= this.#limits.failures || entry.underway >= this.#limits.underway) {
      const wait = entry.failures >= this.#limits.failures ? Math.ceil(this.#limits.refillSeconds) : 1;
      throw new TooManyRequests('Too many attempts to log in. Please try again later.', { headers: { 'retry-after': String(wait) } });
    }
    entry.underway++;
    try {
      const right = await work();
      if (!right) entry.failures++;
      return right;
    } finally {
      entry.underway--;
      if (entry.failures === 0 && entry.underway === 0) this.#seen.delete(key);
    }
  }

  #entry(key: string, now: number) {
    if (this.#seen.size > 50_000) this.#forget(now);
    const entry = this.#seen.get(key) ?? { failures: 0, at: now, underway: 0 };
    // A clock that went backwards must not freeze the allowance.
    const regained = Math.floor((now - entry.at) / (this.#limits.refillSeconds * 1000));
    if (now < entry.at) entry.at = now;
    else if (regained > 0) { entry.failures = Math.max(0, entry.failures - regained); entry.at = entry.failures === 0 ? now : entry.at + regained * this.#limits.refillSeconds * 1000; }
    this.#seen.set(key, entry);
    return entry;
  }
  #forget(now: number): void {
    for (const [key, e] of this.#seen) if (e.underway === 0 && e.failures * this.#limits.refillSeconds * 1000 < now - e.at) this.#seen.delete(key);
  }
}
