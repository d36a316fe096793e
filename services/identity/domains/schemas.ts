import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { projectName } from '../projects/schemas.ts';
import { changes, description, immutable, open, tags, truth } from '../shapes.ts';

const members = { description: description.optional(), enabled: truth.optional(), tags: tags.optional(), options: immutable.optional() };
export const DomainCreate = shape('DomainCreate', z.strictObject({ domain: open({ ...members, name: projectName, explicit_domain_id: z.string().optional() }) }));
export const DomainUpdate = shape('DomainUpdate', z.strictObject({ domain: changes({ ...members, name: projectName.optional() }) }));
