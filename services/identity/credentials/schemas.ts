import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, open } from '../shapes.ts';

const members = { blob: z.string().max(65_536), project_id: z.string().max(64).nullable().optional(), type: z.string().max(255), user_id: z.string().max(64) };
export const CredentialCreate = shape('CredentialCreate', z.object({ credential: open(members) }));
export const CredentialUpdate = shape('CredentialUpdate', z.object({ credential: changes({ blob: members.blob.optional(), project_id: members.project_id, type: members.type.optional(), user_id: members.user_id.optional() }) }));
