import type { Caller } from '@cumulet/auth';
import type { Versions } from '@cumulet/wire';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Dress } from './dress.ts';
import type { Operation, Target } from './operation.ts';

/** Who may come in and do what. Made from `auth`; services of tests may bring their own. */
export interface Gate {
  /** The caller that a token stands for, or undefined when it is not (or no longer) valid. Asks nobody else. */
  authenticate(token: string, serviceToken: string | undefined, request?: { readonly method: string; readonly path: string }): Promise<Caller | undefined>;
  allows(rule: string, caller: Caller, target: Target): boolean;
}

export interface ServiceSpec {
  /** `compute`: the name in logs, metrics and microversion headers. */
  readonly name: string;
  readonly title: string;
  /** Where operations are mounted: the first is the one in links (`['/v2.1', '/v2']`). */
  readonly prefixes: readonly string[];
  /** The path may hold the project after the prefix, as in `/v3/{project_id}/volumes`. */
  readonly projectInPath?: boolean;
  /** The path may name the format after what it means: neutron and cinder answer `/v2.0/networks.json` too, and fog and tempestconf ask like that. */
  readonly formatInPath?: boolean;
  /** nova's and cinder's routers know no path that ends in an empty id (`/servers/`): 404, not 405. */
  readonly emptyIdIsUnknownPath?: boolean;
  readonly versions?: Versions;
  /** nova's older `X-OpenStack-Nova-API-Version`, understood beside `OpenStack-API-Version: compute 2.1`. */
  readonly legacyVersionHeader?: string;
  /** Other names under which its version may be asked, beside `name`: cinder takes what has `volume` in it, and gophercloud (Terraform) says `volumev3 3.27`. */
  readonly alsoVersionedAs?: readonly string[];
  /** The trait with which an operation that knows no query parameters refuses those that come. */
  readonly strictQueries?: string;
  readonly dress: Dress;
  /** `/v2/images/` is another path than `/v2/images`, as in glance; elsewhere a slash at the end counts for nothing. */
  readonly slashCounts?: boolean;
  /** Whether an unexpected error only says that something behind the service is away for a moment: such a request is answered 503. */
  readonly unavailable?: (error: unknown) => boolean;
  readonly operations: readonly Operation[];
  readonly gate: Gate;
  readonly log: Logger;
  readonly maxBodyBytes: number;
  readonly requestTimeoutMs: number;
  readonly maxEventLoopDelayMs: number;
  /** `http://host:5000`: for WWW-Authenticate. */
  readonly identityUrl: string;
  /** What `/healthz` reports: each part by name, true when well. */
  health(): Promise<Record<string, boolean>>;
}

/** Whoever the request's token stands for. */
export function callerOf(gate: Gate, { headers, method, originalUrl }: FastifyRequest): Promise<Caller | undefined> {
  const token = headers['x-auth-token'];
  const service = headers['x-service-token'];
  return typeof token === 'string' && token !== '' ? gate.authenticate(token, typeof service === 'string' ? service : undefined, { method, path: originalUrl.split('?')[0] ?? '/' }) : Promise.resolve(undefined);
}
