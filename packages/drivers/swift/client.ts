import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import { asDriverError, openExchange, type Answer, type Asked, type SwiftOptions } from './exchange.ts';

export interface ObjectFacts {
  /** Bytes; of a large object, of all its segments. */
  readonly size: number;
  readonly etag: string;
  /** `X-Object-Meta-*` without the prefix, names in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Made of segments: by a manifest that lists them, or (`PREFIX` as `container/prefix`) of whatever begins so. */
  readonly large: 'static' | { readonly prefix: string } | undefined;
}
export interface Listed {
  readonly name: string;
  readonly size: number;
  /** md5 in hex (of a large object: of something else). */
  readonly etag: string;
}
/** One piece of a static large object. */
export interface Segment {
  readonly container: string;
  readonly name: string;
  readonly size: number;
  readonly etag: string;
  /** The piece is a manifest itself. */
  readonly nested?: boolean;
}
export interface PutOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse (`busy`) when there is an object of this name already. */
  readonly fresh?: boolean;
  /** The md5 of the bytes, when the caller has it. */
  readonly etag?: string;
}

/**
 * The part of Swift's API that drivers use. Every request is repeated when its failure may pass; all bodies that are sent are
 * buffers, so that they can be. Failures are DriverErrors without names, hosts or credentials in their message; on abort the signal's reason is thrown.
 */
export interface SwiftClient {
  /** Signs in and asks for the account. */
  check(call: Call): Promise<void>;
  /** Makes the container when there is none; `policy` names the storage policy of a new one. */
  createContainer(call: Call, container: string, options?: { readonly policy?: string }): Promise<void>;
  /** `absent` is success; `busy` when there are objects in it. */
  deleteContainer(call: Call, container: string): Promise<void>;
  containerExists(call: Call, container: string): Promise<boolean>;
  /** Names of containers, in order. */
  containers(call: Call, prefix?: string): AsyncIterable<string>;
  /** Returns the etag: Swift has checked it against our md5 of the bytes. */
  put(call: Call, container: string, name: string, body: Uint8Array, options?: PutOptions): Promise<{ readonly etag: string }>;
  /** A static large object of pieces that are stored already. At most 1000 of them; pieces may be manifests again. Returns its etag. */
  putManifest(call: Call, container: string, name: string, segments: readonly Segment[], options?: PutOptions): Promise<{ readonly etag: string }>;
  /** `absent` when it is not there. A connection that breaks is taken up where it broke, of the same object or not at all. Past the end is `invalid`. */
  get(call: Call, container: string, name: string, range?: { readonly offset: number; readonly length?: number | undefined }): Promise<{ readonly body: Readable; readonly facts: ObjectFacts }>;
  /** Undefined when it is not there. */
  head(call: Call, container: string, name: string): Promise<ObjectFacts | undefined>;
  /** Gone already is success. Segments stay, unless `segments`. */
  delete(call: Call, container: string, name: string, options?: { readonly segments?: boolean }): Promise<void>;
  /** In the order of names, page by page. A container that is not there is empty. */
  list(call: Call, container: string, prefix?: string): AsyncIterable<Listed>;
  close(): Promise<void>;
}

export function openSwift(options: SwiftOptions): SwiftClient {
  const exchange = openExchange(options);
  const { send } = exchange;
  const quiet = async (answer: Promise<Answer>): Promise<Answer> => {
    const got = await answer;
    await got.body.dump();
    return got;
  };

  async function* pages(call: Call, path: readonly string[], prefix: string, what: string): AsyncIterable<readonly Record<string, unknown>[]> {
    for (let marker = ''; ;) {
      const answer = await send(call, { method: 'GET', path, query: { format: 'json', prefix, marker }, fine: [404], what });
      if (answer.statusCode === 404) { await answer.body.dump(); return; }
      const page = await answer.body.json().catch((error: unknown) => { call.signal.throwIfAborted(); throw asDriverError(error, what); }) as readonly Record<string, unknown>[];
      const last = page.at(-1);
      if (!last) return;
      yield page;
      marker = String(last['name']);
    }
  }

  /** Returns the etag that Swift answers. */
  async function store(call: Call, container: string, name: string, asked: Pick<Asked, 'body' | 'headers' | 'query'>, fresh: boolean): Promise<unknown> {
    const mark = randomUUID();
    const headers = { 'content-type': 'application/octet-stream', ...asked.headers, ...(fresh ? { 'if-none-match': '*', 'x-object-meta-fresh': mark } : {}) };
    try {
      return (await quiet(send(call, { ...asked, method: 'PUT', path: [container, name], headers, what: 'The object cannot be stored' }))).headers['etag'];
    } catch (error) {
      // "It is there already" may be our own first attempt, whose answer was lost.
      const there = fresh && error instanceof DriverError && error.kind === 'busy' ? await client.head(call, container, name) : undefined;
      if (there?.metadata['fresh'] !== mark) throw error;
      return there.etag;
    }
  }

  const client: SwiftClient = {
    check: async (call) => void await quiet(send(call, { method: 'HEAD', path: [], what: 'The object storage cannot be used' })),
    createContainer: async (call, container, { policy } = {}) => void await quiet(send(call, {
      method: 'PUT', path: [container], what: 'The container cannot be made', ...(policy === undefined ? {} : { headers: { 'x-storage-policy': policy } }),
    })),
    deleteContainer: async (call, container) => void await quiet(send(call, { method: 'DELETE', path: [container], fine: [404], what: 'The container cannot be deleted' })),
    containerExists: async (call, container) => (await quiet(send(call, { method: 'HEAD', path: [container], fine: [404], what: 'The container cannot be found' }))).statusCode !== 404,
    async *containers(call, prefix = '') {
      for await (const page of pages(call, [], prefix, 'The containers cannot be listed')) for (const one of page) yield String(one['name']);
    },

    async put(call, container, name, body, { metadata = {}, fresh = false, etag = createHash('md5').update(body).digest('hex') } = {}) {
      await store(call, container, name, { body, headers: { etag, ...meta(metadata) } }, fresh);
      return { etag };
    },
    async putManifest(call, container, name, segments, { metadata = {}, fresh = false } = {}) {
      const body = JSON.stringify(segments.map(s => ({ path: `/${s.container}/${s.name}`, etag: s.etag, size_bytes: s.size })));
      return { etag: bare(await store(call, container, name, { body, headers: meta(metadata), query: { 'multipart-manifest': 'put' } }, fresh)) };
    },

    async get(call, container, name, range) {
      const what = 'The object cannot be read';
      const stop = new AbortController();
      const within: Call = { ...call, signal: AbortSignal.any([call.signal, stop.signal]) };
      const open = (offset: number, length: number | undefined, same?: string): Promise<Answer> => {
        const wanted: Record<string, string> = offset === 0 && length === undefined ? {} : { range: `bytes=${offset}-${length === undefined ? '' : offset + length - 1}` };
        return send(within, { method: 'GET', path: [container, name], headers: { ...wanted, ...(same === undefined ? {} : { 'if-match': `"${same}"` }) }, what });
      };
      const first = await open(range?.offset ?? 0, range?.length);
      const facts = factsOf(first.headers);
      const chunks = going(first, range?.offset ?? 0, Number(first.headers['content-length'] ?? 0));
      const body = new Readable({
        highWaterMark: 1 << 20,
        read() { chunks.next().then(({ value, done }) => this.push(done ? null : value), (error: unknown) => this.destroy(error as Error)); },
        destroy(error, done) {
          // The generator may be waiting for bytes that never come.
          stop.abort();
          chunks.return(undefined).then(() => done(error), () => done(error));
        },
      });
      return { body, facts };

      async function* going(answer: Answer, offset: number, length: number): AsyncGenerator<Buffer, undefined> {
        let { body } = answer;
        let failures = 0;
        for (let done = 0; ;) {
          try {
            for await (const chunk of body) {
              yield chunk as Buffer;
              done += (chunk as Buffer).length;
              failures = 0;
            }
            if (done === length) return undefined;
            throw new Error(`the body ended at byte ${done} of ${length}`);
          } catch (caught) {
            call.signal.throwIfAborted();
            const error = asDriverError(caught, what);
            if (done >= length || error.kind !== 'transient' || stop.signal.aborted || ++failures > exchange.retries) throw error;
            await exchange.pause(failures, within.signal);
            ({ body } = await open(offset + done, length - done, facts.etag));
          }
        }
      }
    },
    async head(call, container, name) {
      const answer = await quiet(send(call, { method: 'HEAD', path: [container, name], fine: [404], what: 'The object cannot be found' }));
      return answer.statusCode === 404 ? undefined : factsOf(answer.headers);
    },
    async delete(call, container, name, { segments = false } = {}) {
      const what = 'The object cannot be deleted';
      const facts = segments ? await client.head(call, container, name) : undefined;
      if (facts?.large === 'static') {
        const answer = await send(call, { method: 'DELETE', path: [container, name], query: { 'multipart-manifest': 'delete' }, headers: { accept: 'application/json' }, fine: [404], what });
        // This one says 200 whatever happened; the truth is inside.
        const report = JSON.parse(await answer.body.text() || '{}') as { 'Response Status'?: string; Errors?: unknown[] };
        if (answer.statusCode !== 404 && !/^(200|404)/.test(report['Response Status'] ?? '200')) throw new DriverError('transient', `${what}: the object storage reported an error.`, { detail: JSON.stringify(report).slice(0, 300) });
        return;
      }
      if (typeof facts?.large === 'object') {
        const [from = '', ...prefix] = facts.large.prefix.split('/');
        for await (const segment of client.list(call, from, prefix.join('/'))) await quiet(send(call, { method: 'DELETE', path: [from, segment.name], fine: [404], what }));
      }
      await quiet(send(call, { method: 'DELETE', path: [container, name], fine: [404], what }));
    },
    async *list(call, container, prefix = '') {
      for await (const page of pages(call, [container], prefix, 'The objects cannot be listed')) for (const one of page) yield { name: String(one['name']), size: Number(one['bytes']), etag: String(one['hash']) };
    },
    close: exchange.close,
  };
  return client;
}

const meta = (metadata: Readonly<Record<string, string>>) => Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`x-object-meta-${name}`, value]));
const bare = (etag: unknown) => String(etag ?? '').replace(/^"|"$/g, '');

function factsOf(headers: Answer['headers']): ObjectFacts {
  const prefix = headers['x-object-manifest'];
  const whole = /\/(\d+)$/.exec(String(headers['content-range'] ?? ''))?.[1] ?? headers['content-length'];
  return {
    size: Number(whole ?? 0), etag: bare(headers['etag']),
    metadata: Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (name.startsWith('x-object-meta-') ? [[name.slice(14), String(value)]] : []))),
    large: String(headers['x-static-large-object']).toLowerCase() === 'true' ? 'static' : typeof prefix === 'string' ? { prefix: decodeURIComponent(prefix) } : undefined,
  };
}
