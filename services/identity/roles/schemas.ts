import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, description, id, immutable, name, open } from '../shapes.ts';

const members = { description: description.optional(), domain_id: id.nullable().optional(), options: immutable.optional() };
export const RoleCreate = shape('RoleCreate', z.strictObject({ role: open({ ...members, name }) }));
export const RoleUpdate = shape('RoleUpdate', z.strictObject({ role: changes({ ...members, name: name.optional() }) }));
