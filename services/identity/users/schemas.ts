import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, description, id, name, open, truth } from '../shapes.ts';

const unique = (list: readonly unknown[]) => new Set(list.map(one => JSON.stringify(one))).size === list.length;
const rules = z.array(z.array(z.string()).min(1).refine(unique, { error: 'has non-unique elements' })).refine(unique, { error: 'has non-unique elements' });
const option = truth.nullable().optional();
const options = z.strictObject({
  ignore_change_password_upon_first_use: option, ignore_password_expiry: option, ignore_lockout_failure_attempts: option, lock_password: option, ignore_user_inactivity: option,
  multi_factor_auth_enabled: option, multi_factor_auth_rules: rules.nullable().optional(),
});
const members = { default_project_id: id.nullable().optional(), description: description.optional(), domain_id: id.optional(), enabled: truth.optional(), password: z.string().nullable().optional(), options: options.optional(), federated: z.array(z.looseObject({ idp_id: z.string(), protocols: z.array(z.any()) })).optional() };

export const UserCreate = shape('UserCreate', z.strictObject({ user: open({ ...members, name }) }));
export const UserUpdate = shape('UserUpdate', z.strictObject({ user: changes({ ...members, name: name.optional() }) }));
export const PasswordChange = shape('PasswordChange', z.object({ user: z.looseObject({ original_password: z.string(), password: z.string() }) }));
