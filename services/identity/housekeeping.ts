import { pruneRevocations, rotateKeys } from '@cumulet/auth';
import type { Settings } from '@cumulet/config';
import { transaction } from '@cumulet/db';
import type { Identity } from './identity.ts';

const hour = 3_600_000;

/** Turns the token keys when their time has come. Several processes may try; one does it. Returns whether it did. */
export const rotateWhenDue = (identity: Identity): Promise<boolean> => transaction(identity.db, async trx => {
  const days = identity.settings.identity.keyRotationDays;
  if (days === 0) return false;
  await trx.raw('select pg_advisory_xact_lock(7264003)');
  const due = await trx('token_keys').where({ state: 'primary' }).whereRaw('promoted_at < now() - make_interval(secs => ?)', [days * 86_400]).first('id');
  if (!due) return false;
  await rotateKeys(trx, identity.sealer, retireAfterSeconds(identity.settings));
  return true;
});
/** A key must outlive the last token that it signed, the time for expired ones included. */
export const retireAfterSeconds = ({ tokens }: Settings): number => tokens.lifetimeSeconds + tokens.allowExpiredWindowSeconds + 3_600;

/** Once an hour: keys, old revocations, dead trusts. Returns the way to stop. */
export function startHousekeeping(identity: Identity, log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }): () => void {
  const run = async () => {
    if (await rotateWhenDue(identity)) log.info({}, 'token keys rotated');
    await pruneRevocations(identity.db);
    await identity.db('trusts').whereRaw(`deleted_at < now() - interval '7 days'`).delete();
  };
  const timer = setInterval(() => { run().catch((err: unknown) => log.warn({ err }, 'housekeeping of identity failed; it is tried again in an hour')); }, hour);
  timer.unref();
  return () => clearInterval(timer);
}
