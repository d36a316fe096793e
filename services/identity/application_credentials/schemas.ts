import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { description, id, name, open } from '../shapes.ts';

const rule = z.looseObject({ id: id.optional(), service: id.optional(), method: z.enum(['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT']).optional(), path: z.string().max(225).regex(/^\/.*/).optional() });
const role = z.looseObject({ id: id.optional(), name: name.optional() }).refine(r => r.id !== undefined || r.name !== undefined, { error: "'id' is a required property" });

export const AppCredCreate = shape('ApplicationCredentialCreate', z.object({
  application_credential: open({
    name, description: description.optional(), secret: z.string().nullable().optional(), expires_at: z.string().nullable().optional(), unrestricted: z.boolean().nullable().optional(),
    roles: z.array(role).optional(), access_rules: z.array(rule).optional(),
  }),
}));
export type RuleBody = z.output<typeof rule>;
export type RoleBody = z.output<typeof role>;
