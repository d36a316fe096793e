import type { Runtime } from '@cumulet/service';

/** Flavors that a new cloud has: the names that every guide uses, and one for guests of a few MiB. MiB and GiB. */
const flavors = [
  ['nano', 'm1.nano', 1, 192, 1], ['1', 'm1.tiny', 1, 512, 1], ['2', 'm1.small', 1, 2048, 20], ['3', 'm1.medium', 2, 4096, 40], ['4', 'm1.large', 4, 8192, 80], ['5', 'm1.xlarge', 8, 16_384, 160],
] as const;

/** At every start; what is there, and what an administrator removed from a cloud that has flavors, stays as it is. */
export async function bootstrap(rt: Runtime): Promise<void> {
  if (await rt.db('flavors').first('id')) return;
  await rt.db('flavors').insert(flavors.map(([id, name, vcpus, memory_mb, root_gb]) => ({ id, name, vcpus, memory_mb, root_gb }))).onConflict().ignore();
}
