import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('./page/', import.meta.url));
const novnc = join(dirname(createRequire(import.meta.url).resolve('@novnc/novnc')), '..');
/** Only what this page needs may run in it. Panels embed it, so frames are not forbidden; the key is in the address, which no other page is told. */
const headers = { 'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'", 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff' };

/** `GET /console/vnc.html` and what it loads: noVNC, and a page of ours around it. Nothing is redirected (CVE-2021-3654). */
export async function servePages(app: FastifyInstance): Promise<void> {
  const common = { decorateReply: false, redirect: false, index: false, dotfiles: 'deny', setHeaders: (reply: { header(name: string, value: string): unknown }) => { for (const [name, value] of Object.entries(headers)) reply.header(name, value); } } as const;
  await app.register(fastifyStatic, { ...common, root: join(novnc, 'core'), prefix: '/console/novnc/core/' });
  await app.register(fastifyStatic, { ...common, root: join(novnc, 'vendor'), prefix: '/console/novnc/vendor/' });
  await app.register(fastifyStatic, { ...common, root: own, prefix: '/console/' });
}
