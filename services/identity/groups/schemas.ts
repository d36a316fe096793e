import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, description, id, name, open } from '../shapes.ts';

export const GroupCreate = shape('GroupCreate', z.strictObject({ group: open({ name, description: description.optional(), domain_id: id.optional() }) }));
export const GroupUpdate = shape('GroupUpdate', z.strictObject({ group: changes({ name: name.optional(), description: description.optional(), domain_id: id.optional() }) }));
