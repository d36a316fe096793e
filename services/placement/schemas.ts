import { python, shape, uuid, withDashes } from '@cumulet/wire';
import { z } from 'zod';

/** A UUID with or without dashes; afterwards it has them. */
export const id = uuid.transform(withDashes);
/** Upstream's largest integer, and the default of max_unit. */
export const MAX_INT = 2_147_483_647;
const count = z.int().max(MAX_INT);
export const className = z.string().max(255).regex(/^[A-Z0-9_]+$/);
export const generation = z.int();

/** One inventory, with upstream's defaults. */
export const inventory = {
  total: count.min(1), reserved: count.min(0).default(0), min_unit: count.min(1).default(1), max_unit: count.min(1).default(MAX_INT), step_size: count.min(1).default(1), allocation_ratio: z.number().max(3.40282e+38).default(1),
};
/** Some clients repeat the generation in each inventory; it says nothing there. */
export const inventories = z.strictObject({ resource_provider_generation: generation, inventories: z.record(className, z.strictObject({ ...inventory, resource_provider_generation: generation.optional() })) });
export type Inventories = z.output<typeof inventories>['inventories'];

/** For objects that have to say something. */
export const some = <T extends z.ZodType<object>>(of: T): T => of.refine(object => Object.keys(object as object).length > 0, { error: issue => `${python(issue.input)} does not have enough properties` });
/** How much of each class, of one provider at least. */
export const amounts = some(z.record(className, z.int().min(1).max(MAX_INT)));
const named = z.string().min(1).max(255);
const allocations = z.strictObject({
  allocations: z.record(id, z.strictObject({ generation: z.int().optional(), resources: amounts })),
  project_id: named, user_id: named, consumer_generation: z.int().nullable(), consumer_type: className,
  mappings: some(z.record(z.string(), z.array(id).min(1))).optional(),
});
/** What a consumer is to hold, in the newest form; older ones say less, and leave members out. */
export type ToHold = Pick<z.output<typeof allocations>, 'allocations'> & Partial<z.output<typeof allocations>>;
export const AllocationsToSet = shape('AllocationsToSet', allocations);
export const ManyAllocationsToSet = shape('ManyAllocationsToSet', z.record(id, allocations));
