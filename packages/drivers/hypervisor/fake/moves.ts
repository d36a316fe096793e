import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { Migrate, Travel } from '../contract.ts';
import { checkSpec } from '../validate.ts';
import { folderState, type FakeServer, type FakeState } from './state.ts';
import type { HypervisorVerb } from './verbs.ts';

type Verb = <T>(name: HypervisorVerb, call: Call, work: () => T | Promise<T>) => Promise<T>;
const absent = (id: string) => new DriverError('absent', 'The server does not exist on this host.', { detail: id });

/** What is known of a disk travels as a line of JSON. */
export const fakeTravel = (state: FakeState, verb: Verb): Travel => ({
  send: (call, id) => verb('travel.send', call, () => {
    const server = state.get(id);
    if (server === undefined) throw absent(id);
    if (server.state === 'running' || server.state === 'paused') throw new DriverError('busy', 'The server is running.');
    const { rootBytes, passwords } = server;
    return Readable.from([Buffer.from(JSON.stringify({ rootBytes, passwords }))]);
  }),
  receive: (call, spec, from) => verb('travel.receive', call, async () => {
    checkSpec(spec);
    if (state.get(spec.id) !== undefined) return;
    const { rootBytes, passwords } = JSON.parse((await buffer(await from())).toString()) as Pick<FakeServer, 'rootBytes' | 'passwords'>;
    state.put({ spec, state: 'shutdown', volumes: spec.volumes ?? [], nics: spec.nics ?? [], rootBytes, history: [], frozen: false, passwords });
  }),
});

const stepMs = 20;

/** Between folders of one machine: the other host's is its address. */
export function fakeMigrate(state: FakeState, folder: string, liveMs: number, verb: Verb): Migrate {
  const forced = new Set<string>();
  return {
    prepare: (call, spec) => verb('migrate.prepare', call, () => {
      checkSpec(spec);
      const present = state.get(spec.id);
      if (present !== undefined && !present.incoming) throw new DriverError('busy', 'The host has this server already.');
      state.put({ spec, state: 'shutdown', volumes: spec.volumes ?? [], nics: spec.nics ?? [], rootBytes: 0, history: [], frozen: false, passwords: {}, incoming: true });
      return { folder };
    }),
    live: (call, spec, target) => verb('migrate.live', call, async () => {
      const there = folderState(String(target['folder']));
      const server = state.get(spec.id);
      if (server === undefined) {
        if (there.get(spec.id)?.incoming === false) return;
        throw absent(spec.id);
      }
      if (server.state !== 'running' && server.state !== 'paused') throw new DriverError('busy', 'The server is not running.');
      const total = server.spec.memoryMiB * 2 ** 20;
      for (let ms = 0; ms < liveMs && !forced.has(spec.id); ms += stepMs) {
        call.progress(Math.round((total * ms) / liveMs), total);
        await sleep(stepMs);
        call.signal.throwIfAborted();
      }
      forced.delete(spec.id);
      const reserved = there.get(spec.id);
      if (reserved === undefined) throw new DriverError('broken', 'The destination is not ready for the server.');
      there.put({ ...server, spec: reserved.spec, volumes: reserved.volumes, nics: reserved.nics, incoming: false });
      state.delete(spec.id);
    }),
    force: (call, id) => verb('migrate.force', call, () => void forced.add(id)),
    abandon: (call, id) => verb('migrate.abandon', call, () => {
      const server = state.get(id);
      if (server !== undefined && !server.incoming) return { arrived: true };
      if (server !== undefined) state.delete(id);
      return { arrived: false };
    }),
  };
}
