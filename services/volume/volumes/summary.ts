import type { Trx } from '@cumulet/db';

/** Number, size and the values of each metadata key, of one project or (undefined) of all. One query each, over an index. */
export async function summary(trx: Trx, projectId: string | undefined): Promise<{ total_count: number; total_size: number; metadata: Record<string, string[]> }> {
  const mine = () => trx('volumes').where('hidden', false).modify(q => { if (projectId !== undefined) q.where('project_id', projectId); });
  const totals = await mine().count('* as n').sum('size as gb').first() as unknown as { n: number; gb: number | null };
  const values = await mine().crossJoin(trx.raw('jsonb_each_text(metadata) as m(key, value)')).distinct(trx.raw('m.key, m.value')) as unknown as { key: string; value: string }[];
  const metadata: Record<string, string[]> = {};
  for (const { key, value } of values) metadata[key] = [...metadata[key] ?? [], value];
  return { total_count: totals.n, total_size: totals.gb ?? 0, metadata };
}
