import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { id, name, open } from '../shapes.ts';

const external = z.string().min(1).max(255);
const role = z.looseObject({ id: id.optional(), name: name.optional() }).refine(r => r.id !== undefined || r.name !== undefined, { error: "'id' is a required property" });
export const TrustCreate = shape('TrustCreate', z.object({
  trust: open({
    trustor_user_id: external, trustee_user_id: external, impersonation: z.boolean(), project_id: id.nullable().optional(), remaining_uses: z.int().min(1).nullable().optional(), expires_at: z.string().nullable().optional(),
    allow_redelegation: z.boolean().nullable().optional(), redelegation_count: z.int().min(0).nullable().optional(), roles: z.array(role).optional(),
  }),
}));
export type NewTrust = z.output<typeof TrustCreate.newest>['trust'];
