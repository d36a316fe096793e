import { request, type Dispatcher } from 'undici';
import { DriverError } from '../errors.ts';

/** How to sign in to a Swift. */
export interface SwiftAccount {
  /** Version 1: `http://host:8080/auth/v1.0`; version 3: the identity service, `http://host:5000/v3`. */
  readonly authUrl: string;
  /** Default: 1 when the URL ends in `/v1` or `/v1.0`, else 3. */
  readonly authVersion?: 1 | 3 | undefined;
  /** Version 1: `account:user`. */
  readonly user?: string | undefined;
  readonly key?: string | undefined;
  readonly project?: string | undefined;
  /** Names of domains; default `Default`. */
  readonly userDomain?: string | undefined;
  readonly projectDomain?: string | undefined;
  /** Instead of user, key and project (version 3). */
  readonly applicationCredential?: { readonly id: string; readonly secret: string } | undefined;
  readonly region?: string | undefined;
  /** Which endpoint of the catalogue; default `public`. */
  readonly endpointType?: 'public' | 'internal' | 'admin' | undefined;
  /** Default `object-store`. */
  readonly serviceType?: string | undefined;
  /** The account's URL, instead of what signing in answers. */
  readonly storageUrl?: string | undefined;
  /** What users call the other side; default `object storage`. */
  readonly called?: string | undefined;
}

export interface SignedIn {
  /** URL of the account, without a slash at its end. */
  readonly storageUrl: string;
  readonly token: string;
}
export interface Session {
  /** Signs in once for all who wait. */
  get(signal: AbortSignal): Promise<SignedIn>;
  /** The token was refused: the next `get` signs in again. */
  forget(stale: SignedIn): void;
}

/** Keeps a token as long as the other side takes it. */
export function openSession(account: SwiftAccount, dispatcher: Dispatcher): Session {
  let current: Promise<SignedIn> | undefined;
  let value: SignedIn | undefined;
  const signIn = async () => {
    // Not the signal of the one who happens to be first: others wait for the same answer.
    const { storageUrl, token } = await ((account.authVersion ?? (/\/v1(\.0)?\/?$/.test(account.authUrl) ? 1 : 3)) === 1 ? version1(account, dispatcher) : version3(account, dispatcher));
    return value = { token, storageUrl: (account.storageUrl ?? storageUrl).replace(/\/+$/, '') };
  };
  return {
    async get(signal) {
      signal.throwIfAborted();
      const mine = current ??= signIn();
      mine.catch(() => { if (current === mine) current = undefined; });
      const stop = Promise.withResolvers<never>();
      const abort = () => stop.reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      try { return await Promise.race([mine, stop.promise]); } finally { signal.removeEventListener('abort', abort); }
    },
    forget(stale) { if (value === stale) { current = undefined; value = undefined; } },
  };
}

async function version1(account: SwiftAccount, dispatcher: Dispatcher): Promise<SignedIn> {
  const answer = await request(account.authUrl, { dispatcher, headers: { 'x-auth-user': account.user ?? '', 'x-auth-key': account.key ?? '' } });
  await answer.body.dump();
  judge(account, answer.statusCode);
  const [storageUrl, token] = [answer.headers['x-storage-url'], answer.headers['x-auth-token']];
  if (typeof storageUrl !== 'string' || typeof token !== 'string') throw notASwift(account, 'no X-Storage-Url or X-Auth-Token');
  return { storageUrl, token };
}

/** The parts of an identity reply that are read here. */
interface Catalog { readonly token?: { readonly catalog?: readonly { readonly type: string; readonly endpoints: readonly { readonly interface: string; readonly region?: string; readonly region_id?: string; readonly url: string }[] }[] } }

async function version3(account: SwiftAccount, dispatcher: Dispatcher): Promise<SignedIn> {
  const { applicationCredential: app } = account;
  const auth = app
    ? { identity: { methods: ['application_credential'], application_credential: { id: app.id, secret: app.secret } } }
    : {
        identity: { methods: ['password'], password: { user: { name: account.user ?? '', password: account.key ?? '', domain: { name: account.userDomain ?? 'Default' } } } },
        scope: { project: { name: account.project ?? '', domain: { name: account.projectDomain ?? account.userDomain ?? 'Default' } } },
      };
  const answer = await request(`${account.authUrl.replace(/\/+$/, '')}/auth/tokens`, { method: 'POST', dispatcher, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ auth }) });
  if (answer.statusCode !== 201) { await answer.body.dump(); judge(account, answer.statusCode === 200 ? 500 : answer.statusCode); }
  const { token: facts } = await answer.body.json() as Catalog;
  const token = answer.headers['x-subject-token'];
  const type = account.serviceType ?? 'object-store';
  const endpoint = facts?.catalog?.find(s => s.type === type)?.endpoints.find(e => e.interface === (account.endpointType ?? 'public') && (account.region === undefined || (e.region_id ?? e.region) === account.region));
  if (typeof token !== 'string') throw notASwift(account, 'no X-Subject-Token');
  if (!endpoint && account.storageUrl === undefined) throw new DriverError('broken', `The ${noun(account)} is not in the catalogue.`, { detail: `${type} ${account.endpointType ?? 'public'} ${account.region ?? 'any region'}` });
  return { token, storageUrl: endpoint?.url ?? '' };
}

const noun = (account: SwiftAccount) => account.called ?? 'object storage';
const notASwift = (account: SwiftAccount, detail: string) => new DriverError('broken', `The ${noun(account)} answered something that is no sign-in.`, { detail });

function judge(account: SwiftAccount, status: number): void {
  if (status >= 200 && status < 300) return;
  if (status === 401 || status === 403) throw new DriverError('broken', `The ${noun(account)} refuses our credentials.`, { detail: `sign-in answered ${status}` });
  throw new DriverError(status === 429 || status >= 500 ? 'transient' : 'broken', `The ${noun(account)} cannot be signed in to.`, { detail: `sign-in answered ${status}` });
}
