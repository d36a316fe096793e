import { plainCall } from '@cumulet/drivers';
import { provePlan, type Proof } from '@cumulet/tasks/testing';
import { expect } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import type { ServerRow } from '../servers/row.ts';
import type { TestCloud } from './cloud.ts';

/** What proofs of plans say about servers, over a cloud that is open when they run. */
export function proving(cloud: () => TestCloud) {
  let image: string | undefined;
  /** What a case left as it was made is used again: a new server costs more than the case. */
  const spare: string[] = [];
  const db = () => cloud().t.rt.db;
  const lab = {
    db,
    rowOf: async (id: string): Promise<ServerRow> => db()('servers').where({ id }).first(),
    domain: async (id: string, host = 'testhost') => (await cloud().hosts.get(host)?.hypervisor.list(plainCall()))?.find(d => d.id === id),
    taskOf: async (serverId: string, plan: string): Promise<string> => (await db()('tasks').where({ plan }).whereRaw(`input ->> 'serverId' = ?`, [serverId]).orderBy('seq', 'desc').first('id') as { id: string } | undefined)?.id as string,
    /** Nobody runs out of anything while proofs are made. */
    async open(): Promise<void> {
      image = await cloud().image({ properties: { hw_qemu_guest_agent: 'yes' } });
      for (const [service, resource] of [['compute', 'instances'], ['compute', 'cores'], ['compute', 'ram'], ['volume', 'volumes'], ['volume', 'gigabytes'], ['network', 'port']]) await db()('quotas').insert({ service, project_id: 'class:default', resource, hard_limit: -1 }).onConflict().ignore();
    },
    get image() { return image as string; },
    async running(): Promise<string> {
      await cloud().beat();
      for (let id = spare.pop(); id !== undefined; id = spare.pop()) if (await db()('servers').where({ id, vm_state: 'active', deleted: false }).whereNull('task_id').first('id')) return id;
      return cloud().server({ imageRef: image });
    },
    reuse: (id: string): void => void spare.push(id),
    /** It rests in that state where it was, and its guest is in the power that goes with it. */
    async rests(id: string, vm: string, power?: string): Promise<void> {
      await cloud().t.drain();
      expect(await lab.rowOf(id)).toMatchObject({ vm_state: vm, host: 'testhost', task_id: null, task_state: null });
      if (power !== undefined) expect((await lab.domain(id))?.state).toBe(power);
      expect(await db()('allocations').where({ server_id: id })).toHaveLength(1);
    },
    /** Whatever the guest is, the row says so. */
    async restsAsPowered(id: string): Promise<void> {
      await cloud().t.drain();
      const state = (await lab.domain(id))?.state ?? 'nostate';
      await lab.rests(id, { running: 'active', paused: 'paused', shutdown: 'stopped', suspended: 'suspended', crashed: 'stopped', nostate: 'error' }[state]);
    },
    async act(id: string, body: unknown, o: { who?: 'admin'; version?: string } = {}): Promise<void> {
      const answer = await cloud().act(id, body, o);
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
    },
    async volume(): Promise<string> {
      await cloud().beat();
      const made = await as(cloud().volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
      await cloud().t.drain();
      return made.body.volume.id as string;
    },
    proof: (plan: Proof['plan'], start: Proof['start']): void => provePlan({ plan, db, tasks: () => cloud().t.rt.tasks, runner: faults => cloud().t.runner(faults), start }),
  };
  return lab;
}
