import { shape } from '@cumulet/wire';
import { z } from 'zod';

export const VerifyBody = shape('Verify', z.strictObject({ verify: z.strictObject({ depth: z.enum(['objects', 'data']).default('data') }).nullish() }));
export const RebuildBody = shape('Rebuild', z.strictObject({
  rebuild: z.strictObject({
    target: z.string().max(64).optional().describe('Default: the first'), container: z.string().max(255).optional().describe('Default: all of them'), dry_run: z.boolean().default(false).describe('Only tell what would be made'),
    adopt: z.boolean().default(false).describe('All that is found becomes the caller\'s project\'s, whatever it says of itself'),
  }).nullish(),
}));
const operation = z.object({ id: z.string().describe('In the operations service') });
export const Started = shape('Started', z.object({ operation }));
const broken = z.object({ id: z.string(), container: z.string(), problem: z.string() });
export const RebuildReply = shape('RebuildReply', z.object({
  rebuild: z.object({ id: z.string(), state: z.string(), error: z.string().nullable(), target: z.string().nullable(), found: z.int().nullable(), created: z.array(z.string()), known: z.int().nullable(), broken: z.array(broken) }),
}));
const member = z.object({ id: z.string(), status: z.string(), is_incremental: z.boolean(), data_timestamp: z.string(), object_count: z.int() });
export const BackupReply = shape('CatalogueBackup', z.object({
  backup: z.object({
    id: z.string(), project_id: z.string(), volume_id: z.string(), status: z.string(), size: z.int(), target: z.string().nullable(), service: z.string().nullable(), container: z.string().nullable(), prefix: z.string().nullable(), schedule_id: z.string().nullable(),
    chain: z.array(member).describe('The full backup first'), complete: z.boolean().describe('No parent is missing'), verified_at: z.string().nullable(), problem: z.string().nullable().describe('What the last verification found'),
    last_problem: z.string().nullable().describe('What the last failed verification found, also when a later one has passed'), last_problem_at: z.string().nullable(),
  }),
}));
export const TargetList = shape('TargetList', z.object({ targets: z.array(z.object({ name: z.string(), service: z.string(), host: z.string(), availability_zone: z.string(), shared: z.boolean() })) }));
