import type { ServiceName } from '@cumulet/config';
import { databaseAway } from '@cumulet/db';
import { createService, type Dress, type Operation } from '@cumulet/http';
import type { Versions } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { serviceUrl, type Runtime } from './runtime.ts';

export interface AppOptions {
  readonly name: ServiceName;
  readonly title: string;
  readonly prefixes: readonly string[];
  readonly projectInPath?: boolean;
  readonly emptyIdIsUnknownPath?: boolean;
  readonly versions?: Versions;
  readonly legacyVersionHeader?: string;
  readonly alsoVersionedAs?: readonly string[];
  readonly strictQueries?: string;
  readonly dress: Dress;
  readonly slashCounts?: boolean;
  readonly operations: readonly Operation[];
}

/** The app of a service, with what the runtime knows filled in. */
export const createApp = async (rt: Runtime, o: AppOptions): Promise<FastifyInstance> => createService({
  ...o, gate: await rt.gate(o.name), log: rt.log.child({ api: o.name }), maxBodyBytes: rt.settings.http.maxBodyBytes, requestTimeoutMs: rt.settings.http.requestTimeoutMs,
  maxEventLoopDelayMs: rt.settings.http.maxEventLoopDelayMs, identityUrl: `${serviceUrl(rt.settings, 'identity')}${o.name === 'identity' ? '/v3' : ''}`, unavailable: databaseAway, health: () => rt.health(),
});
