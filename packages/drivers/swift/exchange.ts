import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import type { Call } from '../call.ts';
import { DriverError, type DriverErrorKind } from '../errors.ts';
import { openSession, type SwiftAccount } from './session.ts';

export interface SwiftOptions extends SwiftAccount {
  /** How often a request that failed for a reason that may pass is sent again; default 4. */
  readonly retries?: number | undefined;
  /** ms before the first retry, doubled each time; default 200. */
  readonly retryDelayMs?: number | undefined;
  /** ms without an answer or a byte; default 60 000. */
  readonly idleTimeoutMs?: number | undefined;
}

export type Answer = Dispatcher.ResponseData;
export interface Asked {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Parts of the path below the account, not encoded: `['container', 'a/b']`. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | string | undefined;
  /** Statuses that are no failures beside 2xx. */
  readonly fine?: readonly number[] | undefined;
  /** For users: "The image cannot be stored". */
  readonly what: string;
}

/** One request and its answer, as often as it takes. */
export interface Exchange {
  /** The caller reads or dumps the answer's body. Throws DriverErrors, or the signal's reason. */
  send(call: Call, asked: Asked): Promise<Answer>;
  readonly retries: number;
  /** Waits before attempt number `n` (from 1). */
  pause(n: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function openExchange(options: SwiftOptions): Exchange {
  const idle = options.idleTimeoutMs ?? 60_000;
  const agent = new Agent({ connect: { timeout: 15_000 }, headersTimeout: idle, bodyTimeout: idle, keepAliveTimeout: 4_000 });
  const session = openSession(options, agent);
  const retries = options.retries ?? 4;

  async function once(call: Call, asked: Asked): Promise<Answer> {
    for (let renewed = false; ; renewed = true) {
      const signed = await session.get(call.signal);
      const path = asked.path.map(encodeURIComponent).join('/');
      const query = asked.query === undefined ? '' : `?${new URLSearchParams(asked.query)}`;
      const answer = await request(`${signed.storageUrl}${path === '' ? '' : '/'}${path}${query}`, {
        method: asked.method, dispatcher: agent, signal: call.signal, headers: { ...asked.headers, 'x-auth-token': signed.token }, ...(asked.body === undefined ? {} : { body: asked.body }),
      });
      if (answer.statusCode < 300 || asked.fine?.includes(answer.statusCode)) return answer;
      const detail = (await answer.body.text().catch(() => '')).slice(0, 300);
      // A token may end at any time: once a new one.
      if (answer.statusCode === 401 && !renewed) { session.forget(signed); continue; }
      throw refusal(asked, answer.statusCode, detail);
    }
  }

  async function pause(n: number, signal: AbortSignal): Promise<void> {
    const ms = (options.retryDelayMs ?? 200) * 2 ** (n - 1);
    await sleep(ms / 2 + Math.random() * ms / 2, undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  return {
    retries, pause,
    async send(call, asked) {
      for (let n = 1; ; n += 1) {
        try { return await once(call, asked); } catch (caught) {
          call.signal.throwIfAborted();
          const error = asDriverError(caught, asked.what);
          if (error.kind !== 'transient' || n > retries) throw error;
          call.log.warn({ err: error, detail: error.detail, method: asked.method, attempt: n }, 'The object storage failed; trying again');
          await pause(n, call.signal);
        }
      }
    },
    close: () => agent.destroy(),
  };
}

const KINDS: Readonly<Record<number, DriverErrorKind>> = { 404: 'absent', 408: 'transient', 409: 'busy', 412: 'busy', 413: 'full', 416: 'invalid', 422: 'transient', 429: 'transient', 498: 'transient', 507: 'full' };
const WORDS: Readonly<Record<DriverErrorKind, string>> = {
  absent: 'it is not there', busy: 'it exists already or is in use', full: 'there is no room left', invalid: 'the object storage refuses it',
  transient: 'the object storage does not answer as it should', unsupported: 'the object storage cannot do that', broken: 'the object storage reported an error',
};

function refusal({ what, method, path }: Asked, status: number, detail: string): DriverError {
  const kind = KINDS[status] ?? (status >= 500 ? 'transient' : 'broken');
  return new DriverError(kind, `${what}: ${WORDS[kind]}.`, { detail: `${method} /${path.join('/')} answered ${status} ${detail}` });
}

/** What undici and sockets throw is a network that may work again. */
export function asDriverError(caught: unknown, what: string): DriverError {
  if (caught instanceof DriverError) return caught;
  return new DriverError('transient', `${what}: ${WORDS.transient}.`, { detail: caught instanceof Error ? caught.message : String(caught), cause: caught });
}
