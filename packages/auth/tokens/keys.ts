import { randomBytes } from 'node:crypto';
import { type Db, type Listener, notify, type Trx } from '@cumulet/db';
import { sharedNext } from '../coalesce.ts';
import type { Sealer } from '../seal.ts';
import type { KeyRing, TokenKey } from './contract.ts';

const channel = 'cumulet_token_keys';

interface KeyRow { readonly id: string; readonly secret: Buffer; readonly state: 'staged' | 'primary' | 'secondary' }

/**
 * Moves the keys on: the staged key signs from now on, the one that signed still checks, a new one is staged.
 * Every verifier has known the staged key since the last turn, so no token meets a stranger. Keys whose last token has ended are deleted.
 */
export async function rotateKeys(trx: Trx, sealer: Sealer, retireAfterSeconds: number): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(?)', [7_264_003]);
  await trx('token_keys').where({ state: 'secondary' }).whereRaw(`retired_at < now() - make_interval(secs => ?)`, [retireAfterSeconds]).delete();
  await trx('token_keys').where({ state: 'primary' }).update({ state: 'secondary', retired_at: trx.fn.now() });
  const promoted = await trx('token_keys').where({ state: 'staged' }).update({ state: 'primary', promoted_at: trx.fn.now() });
  if (promoted === 0) await addKey(trx, sealer, 'primary');
  await addKey(trx, sealer, 'staged');
  await notify(trx, channel, '');
}

/** Makes the first keys of a new cloud; does nothing when there are some. */
export async function ensureKeys(trx: Trx, sealer: Sealer): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(?)', [7_264_003]);
  if (await trx('token_keys').where({ state: 'primary' }).first('id')) return;
  await rotateKeys(trx, sealer, 0);
}

async function addKey(trx: Trx, sealer: Sealer, state: 'staged' | 'primary'): Promise<void> {
  const id = randomBytes(6).toString('base64url');
  await trx('token_keys').insert({ id, secret: sealer.seal(randomBytes(32), `token_keys/${id}`), state, promoted_at: state === 'primary' ? trx.fn.now() : null });
}

/** The keys in the database, held in memory and read again at each notice. */
export class DatabaseKeyRing implements KeyRing {
  readonly #keys = new Map<string, TokenKey>();
  #current: TokenKey | undefined;
  readonly refresh: () => Promise<void>;

  private constructor(db: Db, sealer: Sealer) {
    this.refresh = sharedNext(async () => {
      const rows: KeyRow[] = await db('token_keys').select('id', 'secret', 'state');
      for (const row of rows) {
        // One object per key for as long as it lives: verifiers keep what they derive from it.
        const key = this.#keys.get(row.id) ?? { id: row.id, secret: sealer.open(row.secret, `token_keys/${row.id}`) };
        this.#keys.set(row.id, key);
        if (row.state === 'primary') this.#current = key;
      }
      for (const id of this.#keys.keys()) if (!rows.some(r => r.id === id)) this.#keys.delete(id);
    });
  }

  static async open(db: Db, listener: Listener, sealer: Sealer, log: { warn(fields: object, message: string): void }): Promise<DatabaseKeyRing> {
    const ring = new DatabaseKeyRing(db, sealer);
    const again = () => { ring.refresh().catch((err: unknown) => log.warn({ err }, 'token keys could not be read')); };
    await listener.listen(channel, again, again);
    await ring.refresh();
    return ring;
  }

  current(): TokenKey {
    if (!this.#current) throw new Error('the cloud has no token key yet: it is not bootstrapped');
    return this.#current;
  }
  byId(id: string): TokenKey | undefined { return this.#keys.get(id); }
}
