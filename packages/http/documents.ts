import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { ServiceMetrics } from './metrics.ts';
import { openapi } from './openapi.ts';
import type { ServiceSpec } from './spec.ts';

/** `/docs`, `/metrics` and `/healthz`, the same on every service. They need no token and tell nothing of a project. */
export async function documentRoutes(app: FastifyInstance, spec: ServiceSpec, metrics: ServiceMetrics): Promise<void> {
  const document = openapi(spec.title, spec.operations, spec.prefixes[0] ?? '', spec.versions);
  await app.register(swagger, { mode: 'static', specification: { document: document as never } });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  app.get('/metrics', async (_req, reply) => reply.header('content-type', 'text/plain; version=0.0.4; charset=utf-8').send(await metrics.text()));
  app.get('/healthz', async (_req, reply) => {
    const parts = await spec.health().catch(() => ({ health: false }));
    const well = Object.values(parts).every(Boolean);
    return reply.status(well ? 200 : 503).send({ status: well ? 'ok' : 'failing', parts });
  });
}
