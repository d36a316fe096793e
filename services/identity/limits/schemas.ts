import { shape, uuid } from '@cumulet/wire';
import { z } from 'zod';
import { description, id, name } from '../shapes.ts';

const amount = z.int().min(-1).max(0x7fffffff);
const region = z.string().max(255).nullable().optional();
const registered = { service_id: uuid, region_id: region, resource_name: name, default_limit: amount, description: description.optional() };
export const RegisteredCreate = shape('RegisteredLimitsCreate', z.strictObject({ registered_limits: z.array(z.strictObject(registered)).min(1) }));
export const RegisteredUpdate = shape('RegisteredLimitUpdate', z.strictObject({ registered_limit: z.strictObject({ service_id: uuid.optional(), region_id: region, resource_name: name.optional(), default_limit: amount.optional(), description: description.optional() }) }));

const one = z.strictObject({ project_id: id.optional(), domain_id: id.optional(), service_id: uuid, region_id: region, resource_name: name, resource_limit: amount, description: description.optional() })
  .refine(l => (l.project_id === undefined) !== (l.domain_id === undefined), { error: 'exactly one of project_id and domain_id is required' });
export const LimitsCreate = shape('LimitsCreate', z.strictObject({ limits: z.array(one).min(1) }));
export const LimitUpdate = shape('LimitUpdate', z.strictObject({ limit: z.strictObject({ resource_limit: amount.optional(), description: description.optional() }) }));
export type NewLimit = z.output<typeof one>;
