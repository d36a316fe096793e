import type { FastifyInstance } from 'fastify';
import { as, testRuntime, type TestRuntime, type Who } from './service.ts';
import { makeApp, openWork } from '../../services/image/index.ts';

/** The image service on its own, with a worker, for tests. */
export interface TestImages extends TestRuntime {
  readonly app: FastifyInstance;
  call(who: Who, method: string, url: string, body?: unknown, headers?: Record<string, string>): ReturnType<ReturnType<typeof as>>;
  /** Creates an image of the caller's and uploads data when given; gives its id. */
  image(who: Who, attributes?: Record<string, unknown>, data?: Buffer): Promise<string>;
  end(): Promise<void>;
}

export async function openTestImages(overrides: Record<string, string> = {}): Promise<TestImages> {
  const t = await testRuntime(overrides);
  const work = await openWork(t.rt);
  t.serve(work);
  const app = await makeApp(t.rt);
  await app.ready();
  const call: TestImages['call'] = (who, method, url, body, headers = {}) => as(app, who)(method, url, body, undefined, headers);
  return {
    ...t, app, call,
    async image(who, attributes = {}, data) {
      const made = await call(who, 'POST', '/v2/images', { disk_format: 'raw', container_format: 'bare', name: 'x', ...attributes });
      if (made.status !== 201) throw new Error(JSON.stringify(made.body));
      if (data) {
        const put = await call(who, 'PUT', `/v2/images/${made.body.id}/file`, data, { 'content-type': 'application/octet-stream' });
        if (put.status !== 204) throw new Error(JSON.stringify(put.body));
      }
      return made.body.id;
    },
    async end() { await app.close(); await work.close?.(); await t.close(); },
  };
}
