import { Readable } from 'node:stream';
import { DriverError } from '../../errors.ts';
import { checkContainer, ownContainer, stamp } from '../layout.ts';
import type { ObjectStore } from '../store.ts';

/** Containers and their objects, to be looked at and damaged by tests. */
export type Held = Map<string, Map<string, Buffer>>;

/** Objects in memory, with upstream's names for a directory. */
export function memoryStore(held: Held): ObjectStore {
  const of = (container: string) => {
    checkContainer(container);
    return held.get(container);
  };
  const object = (container: string, name: string) => of(container)?.get(name);
  const keep = (container: string, name: string, bytes: Buffer) => {
    const found = of(container);
    if (!found) throw new DriverError('absent', 'The container is not there.', { detail: container });
    found.set(name, bytes);
  };
  return {
    service: 'cumulet.backup.fake.FakeBackupDriver',
    serves: (service) => service === 'cumulet.backup.fake.FakeBackupDriver',
    place: ({ id, volumeId, container }, now) => {
      const chosen = container ?? ownContainer(id);
      checkContainer(chosen);
      return { container: chosen, serviceMetadata: `volume_${volumeId}_${stamp(now)}_backup_${id}` };
    },
    async check() {},
    async prepare(_call, container) {
      if (!of(container)) held.set(container, new Map());
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
      for (const name of [...of(container)?.keys() ?? []].toSorted()) if (name.startsWith(prefix)) yield { name, size: object(container, name)?.length ?? 0 };
    },
    async remove(_call, container, name) {
      of(container)?.delete(name);
    },
    async settle() {},
    async sweep() {},
    async leave(_call, { container }) {
      if (of(container)?.size === 0) held.delete(container);
    },
    async *containers() {
      yield* [...held.keys()].toSorted();
    },
    async close() {},
  };
}
