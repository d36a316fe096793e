import { type Clock, type DatabaseKeyRing, type Enforcer, LoginGate, PasswordHasher, type Revocation, type RevocationFeed, type Sealer, TokenSigner, type TokenVerifier } from '@cumulet/auth';
import type { Settings } from '@cumulet/config';
import type { Db, Trx } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { Catalog } from './catalog/catalog.ts';

/** What the features of the identity service work with. */
export interface Identity {
  readonly db: Db;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly sealer: Sealer;
  readonly hasher: PasswordHasher;
  readonly logins: LoginGate;
  readonly keys: DatabaseKeyRing;
  readonly signer: TokenSigner;
  readonly verifier: TokenVerifier;
  readonly revocations: RevocationFeed;
  readonly enforcer: Enforcer;
  readonly catalog: Catalog;
  /** Ends tokens, or has their roles read again, together with the change that the transaction makes. */
  revoke(trx: Trx, event: Revocation): Promise<void>;
}

export async function openIdentity(rt: Runtime): Promise<Identity> {
  const { settings, db, clock } = rt;
  const catalog = new Catalog(db, rt.listener);
  await catalog.start();
  return {
    db, clock, settings, catalog, sealer: rt.sealer, verifier: rt.verifier, revocations: rt.revocations, enforcer: await rt.enforcer('identity'),
    hasher: new PasswordHasher({ rounds: settings.tokens.bcryptRounds, concurrency: settings.tokens.hashConcurrency }),
    logins: new LoginGate({ failures: settings.identity.failedLogins, refillSeconds: settings.identity.failedLoginRefillSeconds, underway: 64 }, clock),
    keys: rt.keys, signer: new TokenSigner(rt.keys),
    revoke: (trx, event) => rt.revocations.revoke(trx, event),
  };
}
