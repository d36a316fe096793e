import type { ServiceName } from '@cumulet/config';
import { databaseAway } from '@cumulet/db';
import { createService, type ServiceSpec } from '@cumulet/http';
import type { FastifyInstance } from 'fastify';
import { serviceUrl, type Runtime } from './runtime.ts';

/** What a service says of itself; the rest of its spec the runtime knows. */
export interface AppOptions extends Omit<ServiceSpec, 'gate' | 'log' | 'maxBodyBytes' | 'requestTimeoutMs' | 'maxEventLoopDelayMs' | 'identityUrl' | 'unavailable' | 'health'> {
  readonly name: ServiceName;
}

/** The app of a service, with what the runtime knows filled in. */
export const createApp = async (rt: Runtime, o: AppOptions): Promise<FastifyInstance> => createService({
  ...o, gate: await rt.gate(o.name), log: rt.log.child({ api: o.name }), maxBodyBytes: rt.settings.http.maxBodyBytes, requestTimeoutMs: rt.settings.http.requestTimeoutMs,
  maxEventLoopDelayMs: rt.settings.http.maxEventLoopDelayMs, identityUrl: `${serviceUrl(rt.settings, 'identity')}${o.name === 'identity' ? '/v3' : ''}`, unavailable: databaseAway, health: () => rt.health(),
});
