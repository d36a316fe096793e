import { NotFound, parseTime, Unauthorized } from '@cumulet/wire';
import { expected } from '../faults.ts';
import { find as findAppCred } from '../application_credentials/store.ts';
import { find, idOfAccessKey, unsealed } from '../credentials/store.ts';
import type { Identity } from '../identity.ts';
import { projectOf } from '../tokens/lookup.ts';
import { issue, position, type Issued } from '../tokens/issue.ts';
import { usableTrust } from '../trusts/service.ts';
import { isEnabled } from '../users/compliance.ts';
import * as users from '../users/store.ts';
import { ec2Signature, s3Signature, sameSignature, withoutPort, type SignedRequest } from './signature.ts';

export type Signed = SignedRequest & { readonly access?: unknown; readonly signature?: unknown; readonly token?: unknown };
export interface Keys { readonly access: string; readonly secret: string; readonly trust_id?: string | null; readonly app_cred_id?: string | null }

const ttl = 15 * 60_000;   // keystone: [credential] auth_ttl

/** Checks a signed request and gives a token that says no more than its keys do. */
export async function authenticate(identity: Identity, kind: 'ec2' | 's3', body: Readonly<Record<string, unknown>> | undefined): Promise<Issued> {
  const signed = (body?.['credentials'] ?? body?.['credential'] ?? body?.['ec2Credentials']) as Signed | undefined;
  if (!body || Object.keys(body).length === 0) throw expected('credentials', 'request body');
  if (typeof signed?.access !== 'string') throw new Unauthorized();
  const at = await position(identity);
  const row = await find(identity.db, idOfAccessKey(signed.access));
  if (!row || row.type !== 'ec2' || row.project_id === null) throw new NotFound('EC2 access key not found.');
  const keys = JSON.parse(unsealed(identity, row)) as Keys;
  if (!isSignedBy(keys, kind, signed) || isTooOld(identity, signed)) throw new Unauthorized();
  const owner = await users.find(identity.db, row.user_id);
  if (!owner || !isEnabled(identity.settings.identity.compliance, owner, identity.clock())) throw new Unauthorized();
  const project = await projectOf(identity, { id: row.project_id });
  const order = { methods: ['ec2credential'], position: at };
  if (keys.trust_id) {
    const trust = await usableTrust(identity, keys.trust_id);
    if (trust.project_id !== project.id) throw new Unauthorized();
    // Made under impersonation the keys are the trustor's, yet only the trustee may use the trust.
    const trustee = trust.impersonation ? await users.find(identity.db, trust.trustee_user_id) : owner;
    if (!trustee) throw new Unauthorized();
    return issue(identity, { ...order, user: trustee, scope: { trust, project } });
  }
  if (keys.app_cred_id) {
    const appCred = await findAppCred(identity.db, keys.app_cred_id);
    if (!appCred || appCred.project_id !== project.id || appCred.user_id !== owner.id || (appCred.expires_at && appCred.expires_at.getTime() <= identity.clock())) throw new Unauthorized();
    return issue(identity, { ...order, user: owner, scope: { project }, appCred });
  }
  return issue(identity, { ...order, user: owner, scope: { project } });
}

function isSignedBy(keys: Keys, kind: 'ec2' | 's3', signed: Signed): boolean {
  if (kind === 's3') return typeof signed.token === 'string' && sameSignature(signed.signature, s3Signature(keys.secret, signed.token));
  return sameSignature(signed.signature, ec2Signature(keys.secret, signed)) || sameSignature(signed.signature, ec2Signature(keys.secret, withoutPort(signed)));
}

/** A signed time may be left out, but one that is there counts (CVE-2020-12692). */
function isTooOld(identity: Identity, signed: Signed): boolean {
  const text = signed.params?.['Timestamp'] ?? signed.headers?.['X-Amz-Date'] ?? signed.params?.['X-Amz-Date'];
  if (text === undefined) return false;
  const compact = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  const at = parseTime(compact ? `${compact[1]}-${compact[2]}-${compact[3]}T${compact[4]}:${compact[5]}:${compact[6]}Z` : text);
  return !at || identity.clock() > at.getTime() + ttl;
}
