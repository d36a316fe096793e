import { Forbidden, Unauthorized } from '@cumulet/wire';
import { checkSecret, find as findAppCred, findByName as findAppCredByName, type AppCredRow } from '../application_credentials/store.ts';
import { unsealed } from '../credentials/store.ts';
import { absentToken, expected, forbidden } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { isEnabled } from '../users/compliance.ts';
import { checkPassword } from '../users/login.ts';
import * as users from '../users/store.ts';
import type { UserRow } from '../users/store.ts';
import { userOf } from './lookup.ts';
import type { AuthBody } from './schemas.ts';
import { isPasscode } from './totp.ts';

/** What a method has proved. */
export interface Proof {
  readonly user: UserRow;
  readonly methods: readonly string[];
  /** Seconds since 1970 that the new token must not outlive. */
  readonly until?: number | undefined;
  /** Of the token that this one descends from. */
  readonly auditChain?: string | undefined;
  readonly appCred?: AppCredRow | undefined;
}
type Identify = AuthBody['identity'];
export interface Login { readonly identity: Identify; readonly scope: AuthBody['scope']; readonly address: string }

/** The methods that this cloud knows. `external`, `oauth1`, `mapped` and the like need an operator's set-up that we do not have. */
export const methods: Readonly<Record<string, (identity: Identity, login: Login) => Promise<Proof>>> = { password, token, totp, application_credential: applicationCredential };

async function password(identity: Identity, { identity: body, address }: Login): Promise<Proof> {
  const asked = body.password?.user;
  const user = await userOf(identity, asked, 'password');
  return { user: await checkPassword(identity, user, { name: nameOf(asked), password: asked?.password ?? '', address }), methods: ['password'] };
}
const nameOf = (asked: { id?: string | undefined; name?: string | undefined; domain?: { id?: string | undefined; name?: string | undefined } | undefined } | undefined) => JSON.stringify([asked?.id, asked?.name, asked?.domain?.id, asked?.domain?.name]);

async function totp(identity: Identity, { identity: body, address }: Login): Promise<Proof> {
  const asked = body.totp?.user;
  const user = await userOf(identity, asked, 'totp');
  const right = await identity.logins.pass(`totp ${user?.id ?? nameOf(asked)}`, address, async () => {
    if (!user || asked?.passcode === undefined) return false;
    const rows: { id: string; blob: Buffer }[] = await identity.db('credentials').where({ user_id: user.id, type: 'totp' }).select('id', 'blob');
    return rows.some(row => isPasscode(unsealed(identity, row), asked.passcode as string, identity.clock()));
  });
  if (!right || !user || !isEnabled(identity.settings.identity.compliance, user, identity.clock())) throw new Unauthorized();
  return { user, methods: ['totp'] };
}

/** A token begets a token, 404 when it is none: never a longer-lived one, and not one that goes beyond what was delegated. */
async function token(identity: Identity, { identity: body, scope }: Login): Promise<Proof> {
  if (!body.token) throw expected('token', 'identity');
  const checked = await identity.verifier.inspect(body.token.id);
  if (!checked) throw absentToken();
  const { claims, caller } = checked;
  const asks = typeof scope === 'object' ? scope : {};
  if (claims.t) throw forbidden('Using trust-scoped token to create another token. Create a new trust-scoped token instead');
  if (caller.systemScope && (asks.project || asks.domain)) throw forbidden('Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed.');
  if (claims.ac && Object.keys(asks).length > 0) throw forbidden('Using an application credential token to create a scoped token is not allowed.');
  const user = await users.find(identity.db, claims.u);
  if (!user) throw absentToken();
  const appCred = claims.ac === undefined ? undefined : await findAppCred(identity.db, claims.ac);
  if (claims.ac !== undefined && !appCred) throw absentToken();
  return { user, methods: [...claims.m, 'token'], until: claims.e, auditChain: claims.a.at(-1), appCred };
}

/** The credential says who its user is; whatever the caller writes beside its id is not looked at (CVE-2026-42998). */
async function applicationCredential(identity: Identity, { identity: body, scope, address }: Login): Promise<Proof> {
  const asked = body.application_credential;
  if (!asked) throw expected('application_credential', 'identity');
  if (scope !== undefined) throw new Unauthorized('Error authenticating with application credential: Application credentials cannot request a scope.');
  if (!asked.id && !asked.name) throw expected('id or name', 'application credential');
  let found: AppCredRow | undefined;
  if (asked.id) found = await findAppCred(identity.db, asked.id);
  else {
    const owner = await userOf(identity, asked.user, 'application credential');
    found = owner && await findAppCredByName(identity.db, owner.id, asked.name as string);
  }
  const right = await identity.logins.pass(`application credential ${found?.id ?? asked.id ?? nameOf(asked.user) + asked.name}`, address, () => checkSecret(identity, found, asked.secret ?? ''));
  const user = found && await users.find(identity.db, found.user_id);
  if (!right || !found || !user || !isEnabled(identity.settings.identity.compliance, user, identity.clock())) throw new Unauthorized();
  if (found.expires_at && found.expires_at.getTime() <= identity.clock()) throw new Unauthorized();
  const domain: { enabled: boolean } | undefined = await identity.db('projects').where({ id: user.domain_id }).first('enabled');
  if (!domain?.enabled) throw new Unauthorized();
  return { user, methods: ['application_credential'], until: found.expires_at ? Math.floor(found.expires_at.getTime() / 1000) : undefined, appCred: found };
}

/** Runs the methods that a login names, in order and each once; all must mean the same user. */
export async function prove(identity: Identity, login: Login): Promise<Proof> {
  const names = [...new Set(login.identity.methods)];
  for (const name of names) if (login.identity[name] === undefined) throw expected(name, 'identity');
  if (names.some(n => !Object.hasOwn(methods, n))) throw new Unauthorized('Attempted to authenticate with an unsupported method.', { extra: { identity: { methods: Object.keys(methods) } } });
  let proof: Proof | undefined;
  for (const name of names) {
    const next = await (methods[name] as (i: Identity, l: Login) => Promise<Proof>)(identity, login);
    if (proof && proof.user.id !== next.user.id) throw new Unauthorized();
    proof = proof ? joined(proof, next) : next;
  }
  if (!proof) throw new Unauthorized();
  return proof;
}
function joined(a: Proof, b: Proof): Proof {
  if (a.appCred && b.appCred && a.appCred.id !== b.appCred.id) throw new Forbidden('You are not authorized to perform the requested action.');
  const until = [a.until, b.until].filter(u => u !== undefined);
  return { user: b.user, methods: [...new Set([...a.methods, ...b.methods])], until: until.length > 0 ? Math.min(...until) : undefined, auditChain: a.auditChain ?? b.auditChain, appCred: a.appCred ?? b.appCred };
}
