import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Call } from '../../call.ts';
import { DriverError, type DriverErrorKind } from '../../errors.ts';
import { openSession, type SwiftAccount } from '../../swift/index.ts';

/** A volume as Cinder shows it. */
export interface Volume {
  readonly id: string;
  readonly name: string | null;
  /** GiB. */
  readonly size: number;
  readonly status: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly created_at: string;
}
export interface Attachment { readonly id: string; readonly connection_info: Readonly<Record<string, unknown>>; readonly attach_mode: string; readonly status: string }

/** The part of Cinder's API (3.54) with which volumes hold images. Failures are DriverErrors. */
export interface Volumes {
  create(call: Call, volume: { readonly name: string; readonly size: number; readonly type: string | undefined; readonly metadata: Readonly<Record<string, string>> }): Promise<Volume>;
  /** Undefined when it is not there. */
  get(call: Call, id: string): Promise<Volume | undefined>;
  named(call: Call, name: string): Promise<Volume[]>;
  all(call: Call): Promise<Volume[]>;
  setMetadata(call: Call, id: string, metadata: Readonly<Record<string, string>>): Promise<void>;
  extend(call: Call, id: string, size: number): Promise<void>;
  /** Asks for it; gone already is success. */
  delete(call: Call, id: string): Promise<void>;
  /** Waits until it is in one of the states; in an error state, or after five minutes, it fails. Undefined: gone. */
  until(call: Call, id: string, states: readonly string[]): Promise<Volume | undefined>;
  attach(call: Call, id: string, mode: 'rw' | 'ro'): Promise<Attachment>;
  attachments(call: Call, id: string): Promise<Attachment[]>;
  /** Gone already is success. */
  detach(call: Call, attachment: string): Promise<void>;
}

const KINDS: Readonly<Record<number, DriverErrorKind>> = { 400: 'busy', 404: 'absent', 409: 'busy', 413: 'full', 429: 'transient' };
const VERSION = { 'openstack-api-version': 'volume 3.54' };

/** `connector`: how this host presents itself. */
export function openVolumes(account: SwiftAccount, connector: Readonly<Record<string, unknown>>): Volumes {
  const agent = new Agent({ connect: { timeout: 15_000 }, headersTimeout: 300_000, bodyTimeout: 60_000, keepAliveTimeout: 1_000 });
  const session = openSession({ ...account, authVersion: 3, serviceType: account.serviceType ?? 'block-storage', called: 'volume service' }, agent);

  async function ask<T>(call: Call, method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, what: string, body?: object): Promise<T | undefined> {
    for (let renewed = false; ; renewed = true) {
      try {
        const signed = await session.get(call.signal);
        const answer = await request(`${signed.storageUrl}${path}`, {
          method, dispatcher: agent, signal: call.signal, headers: { ...VERSION, 'x-auth-token': signed.token, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await answer.body.text();
        if (answer.statusCode < 300) return text === '' ? undefined : JSON.parse(text) as T;
        if (answer.statusCode === 401 && !renewed) { session.forget(signed); continue; }
        const kind = KINDS[answer.statusCode] ?? (answer.statusCode >= 500 ? 'transient' : 'broken');
        throw new DriverError(kind, `${what}: the volume service answered ${answer.statusCode}.`, { detail: text.slice(0, 400) });
      } catch (error) {
        call.signal.throwIfAborted();
        if (error instanceof DriverError) throw error;
        throw new DriverError('transient', `${what}: the volume service does not answer.`, { detail: String(error), cause: error });
      }
    }
  }
  const orGone = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try { return await work; } catch (error) {
      if (error instanceof DriverError && error.kind === 'absent') return undefined;
      throw error;
    }
  };
  const list = async (call: Call, query: string) => {
    const found: Volume[] = [];
    for (let marker = ''; ;) {
      const page = (await ask<{ volumes: Volume[] }>(call, 'GET', `/volumes/detail?limit=500${query}${marker}`, 'The volumes cannot be listed'))?.volumes ?? [];
      found.push(...page);
      if (page.length < 500) return found;
      marker = `&marker=${page.at(-1)?.id}`;
    }
  };

  const self: Volumes = {
    async create(call, { name, size, type, metadata }) {
      const made = await ask<{ volume: Volume }>(call, 'POST', '/volumes', 'The image cannot be stored', { volume: { name, size, metadata, ...(type === undefined ? {} : { volume_type: type }) } });
      return (made as { volume: Volume }).volume;
    },
    get: async (call, id) => (await orGone(ask<{ volume: Volume }>(call, 'GET', `/volumes/${id}`, 'The image cannot be found')))?.volume,
    named: async (call, name) => (await list(call, `&name=${encodeURIComponent(name)}`)).filter(v => v.name === name),
    all: call => list(call, ''),
    setMetadata: async (call, id, metadata) => void await ask(call, 'POST', `/volumes/${id}/metadata`, 'The image cannot be stored', { metadata }),
    extend: async (call, id, size) => void await ask(call, 'POST', `/volumes/${id}/action`, 'The image cannot be stored', { 'os-extend': { new_size: size } }),
    delete: async (call, id) => void await orGone(ask(call, 'DELETE', `/volumes/${id}`, 'The image cannot be deleted')),
    async until(call, id, states) {
      for (const end = Date.now() + 300_000; ;) {
        const volume = await self.get(call, id);
        if (!volume || states.includes(volume.status)) return volume;
        if (volume.status.startsWith('error')) throw new DriverError('broken', 'The volume of the image is in an error state.', { detail: `${id} ${volume.status}` });
        if (Date.now() > end) throw new DriverError('transient', 'The volume of the image does not become ready.', { detail: `${id} ${volume.status}` });
        await sleep(200, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
      }
    },
    async attach(call, id, mode) {
      const what = 'The volume of the image cannot be attached';
      const made = await ask<{ attachment: Attachment }>(call, 'POST', '/attachments', what, { attachment: { volume_uuid: id, instance_uuid: null, connector: { ...connector, mode }, mode } });
      const { attachment } = made as { attachment: Attachment };
      await ask(call, 'POST', `/attachments/${attachment.id}/action`, what, { 'os-complete': {} });
      return attachment;
    },
    attachments: async (call, id) => (await ask<{ attachments: Attachment[] }>(call, 'GET', `/attachments/detail?volume_id=${id}`, 'The volume of the image cannot be attached'))?.attachments ?? [],
    detach: async (call, id) => void await orGone(ask(call, 'DELETE', `/attachments/${id}`, 'The volume of the image cannot be detached')),
  };
  return self;
}
