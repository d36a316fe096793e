import { eventually } from '../harness/processes.ts';
import type { FaultyCloud } from './cloud.ts';
import type { Points } from './points.ts';

interface AnyPlan { readonly kind: string; readonly parts: { readonly steps: readonly { readonly name: string }[] } }

/** Every step of a plan, and its end. */
export const pointsOf = (plan: AnyPlan): string[] => [...plan.parts.steps.map((step) => step.name), '(end)'];
export const times = <T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: count }, (_, n) => make(n)));
export const all = (count: number, what: string): string[] => Array.from({ length: count }, () => what);

/** One resource for each point of a plan, all of them stopped there; then the process is killed, once for all of them. */
export async function killedAtEachPoint<T>(f: FaultyCloud, points: Points, victim: 'api' | 'worker', plan: AnyPlan, begin: (n: number) => Promise<T>): Promise<T[]> {
  const where = pointsOf(plan);
  await points.set(plan.kind, where);
  const begun = await times(where.length, begin);
  await points.reached(where.length);
  const before = f.cloud.pid(victim);
  process.kill(before, 'SIGKILL');
  await points.open({ killed: victim === 'worker' });
  await eventually(() => f.cloud.pid(victim) !== before, 60_000, `a new ${victim}`);
  await f.settled();
  return begun;
}
