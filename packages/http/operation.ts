import type { Readable } from 'node:stream';
import type { Caller } from '@cumulet/auth';
import type { Dialect, Micro, Shape } from '@cumulet/wire';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';

/** What a policy rule may look at: facts of the path and of rows, never of a body or query (CVE-2026-42999). */
export type Target = Readonly<Record<string, unknown>>;

/** Everything that a handler knows of its request. */
export interface Context<B = unknown, Q = unknown> {
  readonly caller: Caller;
  /** Path parameters, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The query in its newest form. */
  readonly query: Q;
  /** The body in its newest form. */
  readonly body: B;
  /** The microversion that the caller speaks. */
  readonly dialect: Dialect;
  readonly requestId: string;
  readonly log: Logger;
  /** `http://host:port` as the caller reached us, for links. */
  readonly baseUrl: string;
  /** The path as the caller wrote it, without the query: for `next` links. */
  readonly path: string;
  /** The raw query as text, without the question mark. */
  readonly search: string;
  readonly request: FastifyRequest;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** The body as a stream, for operations with `upload`. */
  stream(): Readable;
  /** Asks the operation's own rule about an object (default: about the caller's own project), or `instead` one of its `otherPolicies`; throws the service's 403. */
  permit(target?: Target, instead?: string): void;
  /** Asks any rule. */
  allows(rule: string, target?: Target): boolean;
  /** Like `permit`, for a further rule. */
  require(rule: string, target?: Target): void;
}

/** A reply with its own status or headers. `body` may be an object (JSON), a stream, a Buffer, a string or absent. */
export class Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** Called with each chunk of a stream once the kernel has its bytes: its memory may be used again. */
  readonly sent: ((chunk: Uint8Array) => void) | undefined;
  constructor(status: number, body?: unknown, headers: Record<string, string> = {}, sent?: (chunk: Uint8Array) => void) {
    this.status = status;
    this.body = body;
    this.headers = headers;
    this.sent = sent;
  }
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';

export interface OperationSpec<B extends z.ZodType, Q extends z.ZodType> {
  /** Unique within a service, `feature.verb`: the name in logs, metrics and OpenAPI. */
  readonly id: string;
  readonly summary: string;
  readonly method: Method;
  /** Below the service's version prefix (`/servers/:server_id`), or absolute with `root: true`. */
  readonly path: string;
  readonly root?: boolean;
  /** For `…/action` paths: the member of the body that names this operation. */
  readonly action?: string;
  readonly since?: Micro;
  readonly until?: Micro;
  /** The upstream rule that guards it; or why none does: `open` needs no token, `anyone` any valid token. */
  readonly policy: string | { readonly open: string } | { readonly anyone: string };
  /**
   * Who asks the rule. `caller` (default): `http` does, about the caller's own project, before the handler runs.
   * `object`: the handler must call `permit(row)` once it has found the row; one that does not is answered with a 500 and logged.
   */
  readonly permit?: 'caller' | 'object';
  /** Rules of which the handler asks one in place of `policy`, where upstream picks the rule by what it finds (a domain's role, a HEAD). */
  readonly otherPolicies?: readonly string[];
  readonly body?: Shape<B>;
  /** The body is a stream of one of these media types and is not read by `http`. */
  readonly upload?: readonly string[];
  /** Media types of a JSON body besides application/json (glance's patches). */
  readonly accepts?: readonly string[];
  readonly query?: Shape<Q>;
  readonly reply?: Shape;
  /** Status of a plain return value; default 200 (204 when it is undefined). */
  readonly status?: number;
  handler(ctx: Context<z.output<B>, z.output<Q>>): unknown;
}
export type Operation = OperationSpec<z.ZodType, z.ZodType>;

/** Makes an operation a value, with the types of its body and query in its handler. */
export const operation = <B extends z.ZodType = z.ZodType<undefined>, Q extends z.ZodType = z.ZodType<Record<string, never>>>(spec: OperationSpec<B, Q>): Operation => spec as unknown as Operation;
