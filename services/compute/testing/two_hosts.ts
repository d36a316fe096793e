import { plainCall } from '@cumulet/drivers';
import { provePlan, type Try } from '@cumulet/tasks/testing';
import { expect } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import type { ServerRow } from '../servers/row.ts';
import { testCloud, type TestCloud } from './cloud.ts';

/** A cloud of two hosts, and a backend that both reach: what is on a host's own file system does not move. */
export const cloudOfTwo = (): Promise<TestCloud> => testCloud({ CUMULET_VOLUME_BACKENDS: JSON.stringify([{ name: 'fake', driver: 'fake' }]) }, { hosts: ['second'] });

/** What proofs of moves say: a server is whole, on one of the hosts, and the other has nothing of it. */
export function twoHosts(cloud: () => TestCloud) {
  let image: string | undefined;
  let volumeId: string | undefined;
  const open = async (): Promise<void> => {
    image = await cloud().image();
    for (const [service, resource] of [['compute', 'instances'], ['compute', 'cores'], ['compute', 'ram'], ['volume', 'volumes'], ['volume', 'gigabytes'], ['network', 'port']]) await cloud().t.rt.db('quotas').insert({ service, project_id: 'class:default', resource, hard_limit: -1 }).onConflict().ignore();
  };
  const rowOf = async (id: string): Promise<ServerRow> => cloud().t.rt.db('servers').where({ id }).first();
  const taskOf = async (serverId: string, plan: string): Promise<string> => (await cloud().t.rt.db('tasks').where({ plan }).whereRaw(`input ->> 'serverId' = ?`, [serverId]).orderBy('seq', 'desc').first('id'))?.id as string;
  const domain = async (host: string, id: string) => (await cloud().hosts.get(host)?.hypervisor.list(plainCall()))?.find(d => d.id === id);

  /** What the last case left as it was is used again. */
  let spare: string | undefined;
  /** A server with a volume on the first host; the second one is the only other place. */
  async function running(): Promise<string> {
    await cloud().beat();
    if (spare !== undefined) { const id = spare; spare = undefined; return id; }
    const made = await as(cloud().volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
    await cloud().t.drain();
    volumeId = made.body.volume.id as string;
    await cloud().t.rt.db('compute_hosts').where({ host: 'second' }).update({ disabled: true });
    const id = await cloud().server({ imageRef: image as string, block_device_mapping_v2: [{ source_type: 'volume', destination_type: 'volume', uuid: volumeId, boot_index: -1 }] });
    await cloud().t.rt.db('compute_hosts').where({ host: 'second' }).update({ disabled: false });
    return id;
  }

  /** Here it is, with everything that is its own, and nothing of it is anywhere else. */
  async function whole(id: string, host: string, o: { vm: string; shares?: number }): Promise<void> {
    await cloud().t.drain();
    const { db } = cloud().t.rt;
    const row = await rowOf(id);
    expect(row, JSON.stringify(row.fault)).toMatchObject({ host, vm_state: o.vm, task_id: null, task_state: null });
    for (const [name, h] of cloud().hosts) {
      const both = o.shares === 2;
      const found = await domain(name, id);
      if (name === host || both) expect(found, `domain on ${name}`).toBeDefined(); else expect(found, `domain on ${name}`).toBeUndefined();
      if (name === host) expect(found?.state).toBe({ active: 'running', stopped: 'shutdown', paused: 'paused', error: found?.state, resized: row.power_state }[o.vm]);
      const ports = (await db('server_ports').where({ server_id: id })).map((p: { port_id: string }) => p.port_id);
      expect(ports).toHaveLength(1);
      if (name === host) expect([...h.network.ports.keys()]).toEqual(expect.arrayContaining(ports));
      else if (!both) expect([...h.network.ports.keys()].filter(p => ports.includes(p)), `filters on ${name}`).toEqual([]);
    }
    expect(await db('ports').where({ device_id: id })).toMatchObject([{ binding_host: host, ...(o.vm === 'error' ? {} : { status: 'ACTIVE' }) }]);
    expect(await db('allocations').where({ server_id: id }).orderBy('held_for', 'desc')).toMatchObject([{ host, held_for: 'server' }, ...(o.shares === 2 ? [{ held_for: 'migration' }] : [])]);
    expect(await db('volume_attachments').where({ server_id: id })).toMatchObject([{ status: 'attached', attached_host: host }]);
    expect(await db('block_devices').where({ server_id: id }).whereNull('connection').whereNotNull('volume_id')).toEqual([]);
    expect(row.memory_mb).toBe(row.vm_state === 'resized' ? row.memory_mb : row.flavor.memory_mb);
    await usageIsTrue();
  }
  async function usageIsTrue(): Promise<void> {
    const { rows } = await cloud().t.rt.db.raw(`select h.host from compute_hosts h left join (select host, sum(vcpus) as v, sum(memory_mb) as m, sum(disk_gb) as d from allocations group by host) a using (host) where (h.used_vcpus, h.used_memory_mb, h.used_disk_gb) <> (coalesce(a.v, 0), coalesce(a.m, 0), coalesce(a.d, 0))`);
    expect(rows).toEqual([]);
    const [used] = (await cloud().t.rt.db.raw(`select coalesce(sum(memory_mb), 0)::int as ram from servers where not deleted and project_id = ?`, ['de'.repeat(16)])).rows;
    expect(await cloud().t.rt.db('quota_usage').where({ service: 'compute', project_id: 'de'.repeat(16) }).first('used')).toMatchObject({ used: { ram: used.ram } });
  }
  /** Leaves nothing for the next case, and proves that it can be deleted wherever it is. */
  async function remove(id: string): Promise<void> {
    await cloud().beat();
    await cloud().call('admin')('DELETE', `/v2.1/servers/${id}`);
    await cloud().t.drain();
    expect(await rowOf(id)).toMatchObject({ deleted: true });
    for (const [name, h] of cloud().hosts) {
      expect(await domain(name, id)).toBeUndefined();
      expect([...h.network.ports.keys()], `filters on ${name}`).toEqual([]);
    }
    expect(await cloud().t.rt.db('allocations').where({ server_id: id })).toEqual([]);
    expect(await cloud().t.rt.db('volumes').where({ id: volumeId }).first('status')).toMatchObject({ status: 'available' });
    await usageIsTrue();
  }
  const admin = (id: string, body: unknown, version?: string) => cloud().act(id, body, { who: 'admin', ...(version === undefined ? {} : { version }) });
  const accepted = async (answer: ReturnType<typeof admin>): Promise<void> => { const { status, body } = await answer; expect(status, JSON.stringify(body)).toBeLessThan(300); };
  const ending = (id: string, t: Try): Try => {
    const next = async () => { const row = await rowOf(id); if (row.host === 'testhost' && row.vm_state === 'active') spare = id; else await remove(id); };
    return { taskId: t.taskId, async done() { await t.done(); await next(); }, async clean(state) { await t.clean(state); await next(); } };
  };
  const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: Parameters<typeof provePlan>[0]['start']) => provePlan({ plan, db: () => cloud().t.rt.db, tasks: () => cloud().t.rt.tasks, runner: faults => cloud().t.runner(faults), start });
  const migration = (id: string) => cloud().t.rt.db('server_migrations').where({ server_id: id }).orderBy('num', 'desc').first();
  return { open, rowOf, taskOf, domain, running, whole, remove, admin, accepted, ending, proof, migration, volumeId: () => volumeId };
}
