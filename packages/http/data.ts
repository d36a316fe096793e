import type { FastifyReply } from 'fastify';
import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

/**
 * Sends a large body with the headers that the reply has. As `reply.send(stream)`, but it says of each chunk when the kernel has its bytes, and what breaks before the first
 * byte is still answered as a fault. What breaks later ends the connection: the length was promised.
 */
export async function sendData(reply: FastifyReply, body: Readable, sent: (chunk: Uint8Array) => void): Promise<FastifyReply> {
  await firstBytes(body);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>);
  await pour(body, raw, sent).catch((error: unknown) => {
    reply.request.log.warn({ err: error, op: reply.request.operation }, 'a download broke off');
    raw.destroy();
  });
  return reply;
}

/** Resolves when there is something to read, or the end. */
const firstBytes = (body: Readable): Promise<void> => new Promise((done, failed) => {
  if (body.errored) { failed(body.errored); return; }
  const over = () => { body.off('readable', ready).off('error', broken); };
  const ready = () => { over(); done(); };
  const broken = (error: Error) => { over(); failed(error); };
  body.on('readable', ready).on('error', broken);
});

async function pour(body: Readable, raw: ServerResponse, sent: (chunk: Uint8Array) => void): Promise<void> {
  const over = Promise.all([finished(body), finished(raw)]);
  // Whoever ends first, by success or not, ends the other.
  body.once('error', () => raw.destroy()).once('end', () => raw.end());
  raw.once('close', () => body.destroy());
  raw.on('drain', () => body.resume());
  body.on('data', (chunk: Uint8Array) => { if (!raw.write(chunk, () => sent(chunk))) body.pause(); });
  await over;
}
