import { shape, uuid } from '@cumulet/wire';
import { z } from 'zod';

const seconds = z.int().min(60).max(366 * 86_400);
const settings = {
  name: z.string().max(255).nullish(), keep: z.int().min(1).max(10_000).describe('Backups that stay; older ones go'), increments: z.int().min(0).max(10_000).optional().describe('So many increments follow each full backup'),
  force: z.boolean().optional().describe('Also while the volume is attached'), enabled: z.boolean().optional(), container: z.string().max(255).nullish(), metadata: z.record(z.string().min(1).max(255), z.string().max(255)).optional(),
  next_at: z.iso.datetime({ offset: true }).transform(text => new Date(text)).optional(),
};
export const ScheduleCreate = shape('ScheduleCreate', z.strictObject({ schedule: z.strictObject({ volume_id: uuid, every_seconds: seconds, ...settings }) }));
export const ScheduleUpdate = shape('ScheduleUpdate', z.strictObject({ schedule: z.strictObject({ every_seconds: seconds.optional(), ...settings, keep: settings.keep.optional() }) }));
const schedule = z.object({
  id: z.string(), project_id: z.string(), volume_id: z.string(), name: z.string().nullable(), enabled: z.boolean(), every_seconds: z.int(), keep: z.int(), increments: z.int(), force: z.boolean(), container: z.string().nullable(), metadata: z.record(z.string(), z.string()),
  next_at: z.string(), last_at: z.string().nullable(), last_backup_id: z.string().nullable(), last_error: z.string().nullable(), created_at: z.string(), updated_at: z.string().nullable(),
});
export const ScheduleReply = shape('ScheduleReply', z.object({ schedule }));
export const ScheduleList = shape('ScheduleList', z.object({ schedules: z.array(schedule) }));
export const ScheduleQuery = shape('ScheduleQuery', z.object({ all_projects: z.string().optional() }));
