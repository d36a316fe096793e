import { provePlan, type Try } from '@cumulet/tasks/testing';
import { fakeHypervisor, type FakeHypervisor } from '@cumulet/drivers/hypervisor';
import type { ImageAccess, StoredImage } from '@cumulet/image';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { hostPlans } from './index.ts';
import { testCloud, type TestCloud } from './testing.ts';

/** Images whose bytes nobody looks at: what is stored is counted, what is fetched is an empty file. */
function emptyImages(c: TestCloud): Pick<ImageAccess, 'localCopy' | 'put' | 'discard'> {
  return {
    async localCopy() {
      const path = join(c.deps.scratch, 'empty.raw');
      await writeFile(path, Buffer.alloc(65_536, 'image'));
      return { path, format: 'raw', virtualSize: 65_536 } as Awaited<ReturnType<ImageAccess['localCopy']>>;
    },
    async put(_, imageId, body, o) {
      body.destroy();
      return { store: 'file', location: imageId, size: o?.size ?? 0, virtualSize: o?.size ?? 0, checksum: '0'.repeat(32), hash: '0'.repeat(128) } as unknown as StoredImage;
    },
    discard: async () => undefined,
  };
}

/** A volume service that is empty at the beginning of every case, and a host with a fake hypervisor beside it. */
export interface Proving {
  readonly cloud: TestCloud;
  readonly guests: FakeHypervisor;
  /** Every object that a backend holds. */
  held(): string[];
  /** Every connection that is made and not let go. */
  connections(): string[];
  taskOf(type: string, id: string): Promise<string>;
  act(id: string, action: object, version?: string): ReturnType<TestCloud['admin']>;
  proof(plan: Parameters<typeof provePlan>[0]['plan'], start: () => Promise<Try>): void;
}

export function proving(): Proving {
  let c: TestCloud;
  let guests: FakeHypervisor;
  const noCall = { taskId: 't', signal: new AbortController().signal, progress() {}, log: { debug() {}, info() {}, warn() {}, error() {} } };
  beforeAll(async () => {
    c = await testCloud({ backends: [{ name: 'one', totalGiB: 100_000 }, { name: 'two', totalGiB: 100_000 }] });
    guests = fakeHypervisor();
    Object.assign(c.deps, { images: emptyImages(c) });
    c.t.serve({ plans: hostPlans, deps: { hypervisor: guests } });
    await c.admin('PUT', `/v3/os-quota-sets/${'de'.repeat(16)}`, { quota_set: { volumes: -1, gigabytes: -1, snapshots: -1, groups: -1 } });
  });
  afterAll(() => c.close());
  beforeEach(async () => {
    const { db } = c.t.rt;
    await db.raw('truncate volumes, volume_snapshots, volume_attachments, volume_groups, volume_group_snapshots, volume_transfers, volume_messages, images, tasks cascade');
    await db('quota_usage').delete();
    for (const d of c.drivers.values()) {
      d.faults.clear();
      for (const name of d.held.filter(n => n.includes('~')).concat(d.held.filter(n => !n.includes('~')))) {
        const [volume = '', snapshot] = name.split('~');
        await d.attach.disconnect(noCall, { name: volume, sizeGiB: 1 }, undefined);
        if (snapshot) await d.snapshots?.delete(noCall, { name: snapshot, sizeGiB: 1, volume: { name: volume, sizeGiB: 1 } }); else await d.volumes.delete(noCall, { name: volume, sizeGiB: 1 });
      }
    }
    for (const { id } of await guests.list(noCall)) await guests.servers.destroy(noCall, id);
    await c.report();
  });
  const nobodyAtWork = async () => expect(await c.t.rt.db('tasks').where({ live: true }).count('* as n').first()).toEqual({ n: 0 });
  return {
    get cloud() { return c; },
    get guests() { return guests; },
    held: () => [...c.drivers.values()].flatMap(d => [...d.held]),
    connections: () => [...c.drivers.values()].flatMap(d => [...d.connections]),
    taskOf: async (type, id) => (await c.t.rt.db('tasks').where({ resource_type: type, resource_id: id, live: true }).orderBy('seq', 'desc').first('id')).id,
    act: (id, action, version) => c.admin('POST', `/v3/volumes/${id}/action`, action, version),
    proof: (plan, start) => provePlan({
      plan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults),
      // What a task leaves to a task of its own (the old copy of a migration) is its business too.
      start: async () => { const t = await start(); return { taskId: t.taskId, done: async () => { await c.t.drain(); await t.done(); await nobodyAtWork(); }, clean: async s => { await c.t.drain(); await t.clean(s); await nobodyAtWork(); } }; },
    }),
  };
}
