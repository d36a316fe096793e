import type { Runtime, Work } from '@cumulet/service';
import { Runner } from '@cumulet/tasks';
import { randomBytes } from 'node:crypto';

/** Seconds between heartbeats; a worker unseen for four of them is down. */
export const heartbeatSeconds = 5;

export interface Worker { readonly queues: readonly string[]; stop(): Promise<void> }

/** Registers what this host can do, says so every few seconds, and takes tasks. */
export async function startWorker(rt: Runtime, works: ReadonlyMap<string, Work>): Promise<Worker> {
  const { settings, db, log } = rt;
  const id = `${settings.host}-${process.pid}-${randomBytes(3).toString('hex')}`;
  const runner = new Runner({
    db, bell: rt.bell, listener: rt.listener, log, host: settings.host, owner: id, leaseSeconds: settings.worker.leaseSeconds, sweepSeconds: settings.worker.sweepSeconds, concurrency: settings.worker.concurrency,
  });
  for (const work of works.values()) runner.register(work.plans, work.deps);
  for (const work of works.values()) await work.start?.();
  const queues = [...new Set(['any', ...[...works.values()].flatMap(w => w.queues)])];

  const beat = async () => {
    const facts: Record<string, unknown> = {};
    for (const [role, work] of works) facts[role] = await work.facts?.().catch((error: unknown) => { log.warn({ err: error, role }, 'facts of this host could not be read'); return undefined; }) ?? {};
    await db('workers').insert({ id, host: settings.host, pid: process.pid, queues, facts: JSON.stringify(facts) })
      .onConflict('id').merge({ facts: JSON.stringify(facts), queues, seen_at: db.fn.now() });
    // Workers that died without a word leave a row; a day later nobody asks for it any more.
    await db('workers').where('seen_at', '<', db.raw(`now() - interval '1 day'`)).delete();
  };
  await beat();
  await runner.serve(queues);
  const clocks = new Set<NodeJS.Timeout>();
  const every = (name: string, seconds: number, run: () => Promise<void>) => {
    let clock: NodeJS.Timeout;
    const again = () => {
      clock = setTimeout(() => { clocks.delete(clock); void run().catch((error: unknown) => log.warn({ err: error, job: name }, 'a periodic job failed')).finally(() => { if (!stopped) again(); }); }, seconds * 1000);
      clocks.add(clock);
    };
    again();
  };
  let stopped = false;
  every('heartbeat', heartbeatSeconds, beat);
  for (const work of works.values()) for (const job of work.periodic ?? []) every(job.name, job.everySeconds, job.run);
  return {
    queues,
    async stop() {
      stopped = true;
      for (const clock of clocks) clearTimeout(clock);
      await runner.stop();
      for (const work of works.values()) await work.close?.();
      await db('workers').where({ id }).delete();
    },
  };
}
