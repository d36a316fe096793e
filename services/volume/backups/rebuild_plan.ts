import { readContainer, type BackupDriver, type Found } from '@cumulet/drivers/backup';
import { DriverError } from '@cumulet/drivers';
import { parseTime } from '@cumulet/wire';
import { z } from 'zod';
import { call, plan } from '../deps.ts';
import { dashedId } from './schemas.ts';
import { encodeBackup, type BackupRow } from './store.ts';
import { verdict } from './verdicts.ts';

/** What is kept of each backup that a scan finds. */
const kept = z.object({
  project_id: z.string().min(1).max(255).optional().catch(undefined), user_id: z.string().min(1).max(255).optional().catch(undefined), size: z.int().min(0).max(2_147_483_647).optional().catch(undefined), data_timestamp: z.string().optional().catch(undefined),
  created_at: z.string().optional().catch(undefined), snapshot_id: dashedId.nullish().catch(null), availability_zone: z.string().max(255).nullish().catch(null), metadata: z.record(z.string().max(255), z.string().max(255)).optional().catch(undefined), encryption_key_id: dashedId.nullish().catch(null),
});
export interface Rebuilt { readonly target: string; readonly found: number; readonly created: readonly string[]; readonly known: number; readonly broken: readonly { readonly id: string; readonly container: string; readonly problem: string }[] }

/** Whose a backup is that no record tells of. */
interface Owner { readonly projectId: string; readonly userId: string; readonly all: boolean }

/** The row of a backup that lies on a target. What it says of itself is taken for what it is: somebody's word. */
function rowOf(found: Found, target: string, driver: BackupDriver, host: string, zone: string, owner: Owner): Partial<BackupRow> & { id: string } {
  const keep = kept.parse(found.keep ?? {});
  const base = volumeOf(found.volumeMeta);
  const [project, user] = owner.all ? [undefined, undefined] : [keep.project_id ?? base.project_id, keep.user_id ?? base.user_id];
  const created = (keep.created_at ? parseTime(keep.created_at) : undefined) ?? found.createdAt ?? new Date();
  return {
    id: found.id, project_id: project ?? owner.projectId, user_id: user ?? owner.userId, name: found.name, description: found.description, volume_id: found.volumeId, snapshot_id: keep.snapshot_id ?? null,
    parent_id: found.parentId, size: keep.size ?? Math.ceil((found.bytes ?? 0) / 2 ** 30), object_count: found.objectCount, target, service: driver.service, container: found.container, service_metadata: found.serviceMetadata, host, availability_zone: keep.availability_zone ?? zone,
    data_timestamp: (keep.data_timestamp ? parseTime(keep.data_timestamp) : undefined) ?? created, metadata: keep.metadata ?? {}, encryption_key_id: keep.encryption_key_id ?? null, created_at: created,
  };
}
function volumeOf(meta: string | undefined): { project_id?: string; user_id?: string } {
  if (meta === undefined) return {};
  try {
    const base = readContainer(meta).base ?? {};
    const text = (v: unknown) => (typeof v === 'string' && v !== '' && v.length <= 255 ? v : undefined);
    const [project, user] = [text(base['project_id']), text(base['user_id'])];
    return { ...(project ? { project_id: project } : {}), ...(user ? { user_id: user } : {}) };
  } catch (error) {
    if (error instanceof DriverError) return {};
    throw error;
  }
}

/**
 * Makes the rows of backups anew from what lies on a target: for a cloud whose database is gone, without any exported record. Rows that exist are left alone. One whose objects
 * or parents are damaged or missing becomes a row in `error` that says why, so that it can be looked at and deleted.
 */
export const rebuildPlan = plan('backup.rebuild', z.object({ target: z.string(), container: z.string().nullable(), dryRun: z.boolean(), /** `all`: every row becomes this owner's, for a cloud whose projects are gone too; else only those that do not say whose they are. */ owner: z.object({ projectId: z.string(), userId: z.string(), all: z.boolean() }) }))
  .step('scan', async (t): Promise<Rebuilt> => {
    const driver = t.deps.targets.get(t.input.target);
    if (!driver) throw new DriverError('absent', `There is no backup target ${t.input.target} here.`);
    const { host, volume } = t.deps.settings;
    const problems = new Map<string, { found: Found; problem: string | undefined }>();
    for await (const found of driver.scan(call(t), t.input.container === null ? {} : { container: t.input.container })) {
      problems.set(found.id, { found, problem: found.problems[0] });
      t.progress(problems.size, 0);
    }
    const known = new Set<string>(((await t.transaction(trx => trx('volume_backups').select('id'))) as { id: string }[]).map(r => r.id));
    const whole = new Map<string, string | undefined>();
    /** Why a backup would not restore: its own fault or that of what it builds on. */
    const faultOf = (id: string): string | undefined => {
      const chain: string[] = [];
      let fault: string | undefined;
      for (let at: string | null = id; at !== null;) {
        if (whole.has(at)) { fault = whole.get(at); break; }
        const entry = problems.get(at);
        if (chain.includes(at)) fault = `Backup ${at} builds on itself.`;
        else if (!entry) fault = known.has(at) ? undefined : `It builds on backup ${at}, which was not found.`;
        else if (entry.problem !== undefined) fault = at === id ? entry.problem : `It builds on backup ${at}: ${entry.problem}`;
        chain.push(at);
        if (fault !== undefined || !entry) break;
        at = entry.found.parentId;
      }
      for (const member of chain) if (problems.has(member) && (member === id || fault === undefined)) whole.set(member, fault);
      return fault;
    };
    const created: string[] = [];
    const broken: { id: string; container: string; problem: string }[] = [];
    const rows: Record<string, unknown>[] = [];
    for (const { found } of problems.values()) {
      const problem = faultOf(found.id);
      if (problem !== undefined) broken.push({ id: found.id, container: found.container, problem });
      if (known.has(found.id)) continue;
      created.push(found.id);
      rows.push(encodeBackup({ ...rowOf(found, t.input.target, driver, host, volume.availabilityZone, t.input.owner), status: problem === undefined ? 'available' : 'error', ...(problem === undefined ? {} : verdict(problem, new Date())) }));
    }
    if (!t.input.dryRun) for (let at = 0; at < rows.length; at += 500) await t.transaction(trx => trx('volume_backups').insert(rows.slice(at, at + 500)).onConflict('id').ignore());
    return { target: t.input.target, found: problems.size, created, known: problems.size - created.length, broken };
  }, { timeoutMs: 14 * 24 * 3_600_000 });
