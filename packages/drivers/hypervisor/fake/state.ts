import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Nic, PowerState, ServerSpec, VolumeDisk } from '../contract.ts';

/** What the fake knows of a server; JSON, so that it can be a file. */
export interface FakeServer {
  readonly spec: ServerSpec;
  readonly state: Exclude<PowerState, 'nostate'>;
  /** With their devices. The spec's own are only where it was defined from. */
  readonly volumes: readonly VolumeDisk[];
  readonly nics: readonly Nic[];
  /** Of the disk that the guest has, which a refused resize leaves alone. */
  readonly rootBytes: number;
  /** While a resize waits for its confirmation. */
  readonly before?: { readonly spec: ServerSpec; readonly rootBytes: number };
  /** What happened and when, in milliseconds: the console log is written from it. */
  readonly history: readonly { readonly at: number; readonly what: 'boot' | 'off' }[];
  readonly frozen: boolean;
  /** Made for a running server that is on its way here. */
  readonly incoming?: boolean;
  /** Only that one was set, and by whom: tests look at it. */
  readonly passwords: Readonly<Record<string, string>>;
}

/** Where fake servers live: in memory, or in a folder with a file for each, which several processes share. */
export interface FakeState {
  get(id: string): FakeServer | undefined;
  put(server: FakeServer): void;
  delete(id: string): void;
  all(): FakeServer[];
}

export function memoryState(): FakeState {
  const servers = new Map<string, FakeServer>();
  return {
    get: (id) => servers.get(id),
    put: (server) => void servers.set(server.spec.id, server),
    delete: (id) => void servers.delete(id),
    all: () => [...servers.values()],
  };
}

/** Synchronous on purpose: a verb's look and its write are then one step, as they are in the daemon that this stands for. */
export function folderState(folder: string): FakeState {
  mkdirSync(folder, { recursive: true });
  const path = (id: string): string => join(folder, `${id}.json`);
  /** Read again only when the file is another: a list of thousands stays cheap. */
  const cache = new Map<string, { stamp: string; server: FakeServer }>();

  const get = (id: string): FakeServer | undefined => {
    try {
      const { mtimeMs, ino, size } = statSync(path(id));
      const stamp = `${mtimeMs} ${ino} ${size}`;
      const known = cache.get(id);
      if (known?.stamp === stamp) return known.server;
      const server = JSON.parse(readFileSync(path(id), 'utf8')) as FakeServer;
      cache.set(id, { stamp, server });
      return server;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      cache.delete(id);
      return undefined;
    }
  };
  return {
    get,
    put(server) {
      const part = `${path(server.spec.id)}.${randomUUID()}.part`;
      writeFileSync(part, JSON.stringify(server));
      renameSync(part, path(server.spec.id));
    },
    delete(id) {
      rmSync(path(id), { force: true });
      cache.delete(id);
    },
    all: () => readdirSync(folder).filter((f) => f.endsWith('.json')).map((f) => get(f.slice(0, -5))).filter((s) => s !== undefined),
  };
}
