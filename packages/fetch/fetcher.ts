import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { Agent, buildConnector, request, type Dispatcher } from 'undici';
import { allowedAddress, passesFilter, type FetchRules } from './rules.ts';

/** Why a fetch failed, in a driver's words: `invalid` (refused), `absent` (404), `transient` (again later), `broken`. The message is for users. */
export class FetchError extends Error {
  readonly kind: 'invalid' | 'absent' | 'transient' | 'broken';
  constructor(kind: FetchError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FetchError';
    this.kind = kind;
  }
}

export interface Fetched {
  readonly body: Readable;
  /** Where in the resource the body begins: the offset that was asked for, or 0 when the other side began anew. */
  readonly offset: number;
  /** Bytes of the whole resource; undefined when the other side does not say (chunked). */
  readonly total: number | undefined;
  /** Its ETag or Last-Modified: give it with the next offset. */
  readonly validator: string | undefined;
}
export interface Fetcher {
  /** Follows redirects, each judged anew. With `offset` it goes on there if the resource is still the one of `validator`; with `range` it asks for a part, of whatever is there. */
  get(url: string, options: { readonly signal: AbortSignal; readonly offset?: number; readonly validator?: string | undefined; readonly range?: { readonly offset: number; readonly length?: number | undefined } | undefined; readonly headers?: Readonly<Record<string, string>> }): Promise<Fetched>;
  /** Bytes of a resource; undefined when it is not there or does not say. */
  size(url: string, options: { readonly signal: AbortSignal }): Promise<number | undefined>;
  close(): Promise<void>;
}
export interface FetcherOptions extends FetchRules {
  readonly idleTimeoutMs: number;
  /** How many to follow; default 5. */
  readonly redirects?: number;
  /** For tests. */
  readonly lookup?: Lookup;
}
type Lookup = (host: string, options: LookupOptions, done: (error: NodeJS.ErrnoException | null, found: string | LookupAddress[], family?: number) => void) => void;

/** A client for URLs that users give. Every connection is checked at the address that it really goes to, so a name that changes its mind gains nothing. */
export function openFetcher(rules: FetcherOptions): Fetcher {
  const mostRedirects = rules.redirects ?? 5;
  const plain: Lookup = rules.lookup ?? ((host, options, done) => resolve(host, options, done as never));
  /** Names lead to allowed addresses only; one that has both kinds is refused, since it is up to no good. */
  const lookup: Lookup = (host, options, done) => plain(host, { ...options, all: true }, (error, found) => {
    if (error) { done(error, ''); return; }
    const all = found as LookupAddress[];
    const refused = all.length === 0 || all.some(a => !allowedAddress(a.address, rules));
    if (refused) { done(new FetchError('invalid', `The host ${host} may not be fetched from.`) as NodeJS.ErrnoException, ''); return; }
    if (options.all) done(null, all); else done(null, (all[0] as LookupAddress).address, (all[0] as LookupAddress).family);
  });
  const connect = buildConnector({ timeout: 15_000, lookup: lookup as never });
  const agent = new Agent({
    connect: (options: buildConnector.Options, done: buildConnector.Callback) => connect(options, (error, socket) => {
      if (error) { done(error, null); return; }
      const address = (socket as Socket).remoteAddress ?? '';
      if (allowedAddress(address, rules)) { done(null, socket as Socket); return; }
      (socket as Socket).destroy();
      done(new FetchError('invalid', 'The URL leads to an address that may not be fetched from.'), null);
    }),
    headersTimeout: rules.idleTimeoutMs, bodyTimeout: rules.idleTimeoutMs, pipelining: 0, keepAliveTimeout: 1,
  });

  async function ask(method: 'GET' | 'HEAD', text: string, headers: Record<string, string>, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    let url = passesFilter(text, rules);
    for (let hop = 0; hop <= mostRedirects; hop++) {
      if (!url) throw new FetchError('invalid', 'The URL, or one that it leads to, does not pass the filter.');
      let answer: Dispatcher.ResponseData;
      try { answer = await request(url, { method, headers: { 'accept-encoding': 'identity', 'user-agent': 'cumulet', ...headers }, dispatcher: agent, signal }); } catch (error) { throw failure(error, signal); }
      const to = answer.headers['location'];
      if (![301, 302, 303, 307, 308].includes(answer.statusCode) || typeof to !== 'string') return answer;
      await answer.body.dump();
      url = URL.canParse(to, url.href) ? passesFilter(new URL(to, url), rules) : undefined;
    }
    throw new FetchError('invalid', `The URL leads through more than ${mostRedirects} redirects.`);
  }

  return {
    async get(text, { signal, offset: wanted = 0, validator, range: part, headers = {} }) {
      const offset = part?.offset ?? wanted;
      const resume: Record<string, string> = part ? { range: `bytes=${part.offset}-${part.length === undefined ? '' : part.offset + part.length - 1}` } : offset > 0 && validator !== undefined ? { range: `bytes=${offset}-`, 'if-range': validator } : {};
      const answer = await ask('GET', text, { ...headers, ...resume }, signal);
      const { statusCode, body } = answer;
      const header = (name: string) => { const h = answer.headers[name]; return Array.isArray(h) ? h[0] : h; };
      const refuse = async (error: FetchError): Promise<never> => { body.on('error', () => undefined); body.destroy(); throw error; };
      if (statusCode === 404 || statusCode === 410) return refuse(new FetchError('absent', `The URL answered ${statusCode}.`));
      if (statusCode === 429 || statusCode >= 500) return refuse(new FetchError('transient', `The URL answered ${statusCode}.`));
      if (statusCode !== 200 && !(statusCode === 206 && 'range' in resume)) return refuse(new FetchError('broken', `The URL answered ${statusCode}.`));
      const length = header('content-length');
      const range = statusCode === 206 ? /^bytes (\d+)-\d+\/(\d+)$/.exec(header('content-range') ?? '') : null;
      if (statusCode === 206 && Number(range?.[1]) !== offset) return refuse(new FetchError('broken', 'The URL answered another range than was asked for.'));
      // Without a length and without chunks nobody could tell a whole image from half of one.
      if (length === undefined && !(header('transfer-encoding') ?? '').toLowerCase().includes('chunked')) return refuse(new FetchError('broken', 'The URL does not say how long its answer is.'));
      const total = range ? Number(range[2]) : length === undefined ? undefined : Number(length);
      return { body, offset: range ? offset : 0, total, validator: strong(header('etag')) ?? header('last-modified') };
    },
    async size(text, { signal }) {
      const answer = await ask('HEAD', text, {}, signal);
      await answer.body.dump();
      const length = answer.headers['content-length'];
      return answer.statusCode === 200 && typeof length === 'string' ? Number(length) : undefined;
    },
    close: () => agent.close(),
  };
}
const strong = (etag: string | undefined) => (etag?.startsWith('W/') ? undefined : etag);

function failure(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  for (let e: unknown = error; e instanceof Error; e = e.cause) {
    if (e instanceof FetchError) return e;
    if ((e as NodeJS.ErrnoException).code === 'ENOTFOUND') return new FetchError('absent', 'The host of the URL is not known.');
  }
  return new FetchError('transient', 'The URL cannot be reached.', { cause: error });
}
