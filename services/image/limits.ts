import { limitsOf, usageOf, type Trx } from '@cumulet/db';
import type { Settings } from '@cumulet/config';
import { unifiedLimits } from '@cumulet/identity';
import { TooLarge } from '@cumulet/wire';

export const limitNames = ['image_size_total', 'image_stage_total', 'image_count_total', 'image_count_uploading'] as const;
export type LimitName = typeof limitNames[number];
const MiB = 1_048_576;
const inBytes = (name: LimitName) => name === 'image_size_total' || name === 'image_stage_total';

const own = (trx: Trx, settings: Settings, project: string) => limitsOf(trx, 'image', project, settings.image.limits);

/** Limits of a project: those that Identity's unified limits have for it, else the settings'. Sizes in MiB, -1 unlimited. */
async function limits(trx: Trx, settings: Settings, projectId: string): Promise<Record<string, number>> {
  const [ours, unified] = await Promise.all([own(trx, settings, projectId), unifiedLimits(trx, { type: 'image', region: settings.region, projectId })]);
  return { ...ours, ...unified };
}

/** `{image_size_total: {usage, limit}}`, sizes in MiB rounded up. */
export async function usage(trx: Trx, settings: Settings, project: string): Promise<Record<string, { usage: number; limit: number }>> {
  const [limit, used] = await Promise.all([limits(trx, settings, project), usageOf(trx, 'image', project)]);
  return Object.fromEntries(limitNames.map(name => [name, { usage: inBytes(name) ? Math.ceil((used[name] ?? 0) / MiB) : used[name] ?? 0, limit: limit[name] ?? -1 }]));
}

/**
 * After this transaction's rows are written (or `before` data come whose size nobody knows), 413 when one of the limits is overstepped. As upstream, a size
 * limit stops the next image, not the one that crosses it.
 */
export async function enforce(trx: Trx, settings: Settings, project: string, names: readonly LimitName[], how: 'after' | 'before' = 'after'): Promise<void> {
  const limit = await limits(trx, settings, project);
  if (names.every(name => (limit[name] ?? -1) < 0)) return;
  const used = await usageOf(trx, 'image', project);
  for (const name of names) {
    const most = limit[name] ?? -1;
    if (most < 0) continue;
    const unit = inBytes(name) ? MiB : 1;
    const now = used[name] ?? 0;
    const delta = how === 'after' ? 1 : 0;
    if (now > most * unit) throw new TooLarge(`Project ${project} is over a limit for [Resource ${name} is over limit of ${most} due to current usage ${Math.ceil(now / unit) - delta} and delta ${delta}]`);
  }
}

/** Bytes that an image may still have: the smallest of the cap for one image and what the settings leave its project (glance's user_storage_quota is as strict; Identity's limits are not). Infinity without either. */
export async function room(trx: Trx, settings: Settings, project: string): Promise<number> {
  const [limit, used] = await Promise.all([own(trx, settings, project), usageOf(trx, 'image', project)]);
  const cap = settings.image.sizeCapBytes > 0 ? settings.image.sizeCapBytes : Number.POSITIVE_INFINITY;
  const most = limit['image_size_total'] ?? -1;
  return most < 0 ? cap : Math.min(cap, Math.max(0, most * MiB - (used['image_size_total'] ?? 0)));
}
