import { createHash, randomBytes } from 'node:crypto';
import { hash, verify } from '@node-rs/bcrypt';
import { Unavailable } from '@cumulet/wire';

/** bcrypt reads no further. keystone cuts there too, so that hashes of either are good in the other. */
const bcryptBytes = 72;
const cut = (password: string): Uint8Array => Buffer.from(password, 'utf8').subarray(0, bcryptBytes);

/**
 * bcrypt off the event loop, a bounded number at once: a stampede of logins waits in line instead of starving everything else.
 * The same password checked against the same hash at the same time is computed once.
 */
export class PasswordHasher {
  readonly #rounds: number;
  readonly #concurrency: number;
  readonly #queueLimit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  readonly #checking = new Map<string, Promise<boolean>>();
  #dummy: Promise<string> | undefined;

  constructor(o: { rounds: number; concurrency: number; queueLimit?: number }) {
    this.#rounds = o.rounds;
    this.#concurrency = o.concurrency;
    this.#queueLimit = o.queueLimit ?? 500;
  }

  hash(password: string): Promise<string> { return this.#inTurn(() => hash(cut(password), { cost: this.#rounds })); }

  /** Without a hash (an unknown user, one without password) it costs the same and says no. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    if (stored === undefined) {
      this.#dummy ??= hash(randomBytes(16), { cost: this.#rounds });
      await this.#once(password, await this.#dummy);
      return false;
    }
    return this.#once(password, stored);
  }

  /** How many wait. */
  get queued(): number { return this.#waiting.length; }

  #once(password: string, stored: string): Promise<boolean> {
    const key = createHash('sha256').update(stored).update('\0').update(password).digest('base64');
    let checking = this.#checking.get(key);
    if (!checking) {
      checking = this.#inTurn(() => verify(cut(password), stored)).finally(() => this.#checking.delete(key));
      this.#checking.set(key, checking);
    }
    return checking;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#concurrency) {
      if (this.#waiting.length >= this.#queueLimit) throw new Unavailable('Too many logins are waiting. Please try again.', { headers: { 'retry-after': '5' } });
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    } else this.#running++;
    try { return await work(); } finally {
      // The place goes straight to the next in line, so that none slips in between.
      const next = this.#waiting.shift();
      if (next) next(); else this.#running--;
    }
  }
}
