import { Readable } from 'node:stream';
import { DriverError } from '../../errors.ts';
import type { ObjectStore } from '../store.ts';
import { stamp } from '../layout.ts';

/** Containers and their objects, to be looked at and damaged by tests. */
export type Held = Map<string, Map<string, Buffer>>;

/** Objects in memory, with upstream's names for a directory. */
export function memoryStore(held: Held): ObjectStore {
  const object = (container: string, name: string) => held.get(container)?.get(name);
  const keep = (container: string, name: string, bytes: Buffer) => {
    const found = held.get(container);
    if (!found) throw new DriverError('absent', 'The container is not there.', { detail: container });
    found.set(name, bytes);
  };
  return {
    service: 'cumulet.backup.fake.FakeBackupDriver',
    serves: (service) => service === 'cumulet.backup.fake.FakeBackupDriver',
    place: ({ id, volumeId, container }, now) => {
      const chosen = container ?? `${id.slice(0, 2)}/${id.slice(2, 4)}/${id}`;
      if (chosen === '' || chosen.split('/').some((part) => part === '' || part === '.' || part === '..')) throw new DriverError('invalid', 'The name of the container is not valid.');
      return { container: chosen, serviceMetadata: `volume_${volumeId}_${stamp(now)}_backup_${id}` };
    },
    async check() {},
    async prepare(_call, container) {
      if (!held.has(container)) held.set(container, new Map());
    },
    async put(_call, container, name, bytes) {
      keep(container, name, Buffer.from(bytes));
    },
    async putStream(call, container, name, body) {
      const pieces: Buffer[] = [];
      for await (const piece of body) {
        call.signal.throwIfAborted();
        pieces.push(Buffer.from(piece));
      }
      keep(container, name, Buffer.concat(pieces));
    },
    async get(_call, container, name) {
      const bytes = object(container, name);
      if (!bytes) throw new DriverError('absent', `The object ${name} is not there.`);
      return { size: bytes.length, body: Readable.from((function* () { for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20)); })(), { objectMode: false }) };
    },
    async *list(_call, container, prefix) {
      for (const name of [...held.get(container)?.keys() ?? []].toSorted()) if (name.startsWith(prefix)) yield { name, size: object(container, name)?.length ?? 0 };
    },
    async remove(_call, container, name) {
      held.get(container)?.delete(name);
    },
    async settle() {},
    async leave(_call, { container }) {
      if (held.get(container)?.size === 0) held.delete(container);
    },
    async *containers() {
      yield* [...held.keys()].toSorted();
    },
    async close() {},
  };
}
