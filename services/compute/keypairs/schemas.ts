import { before, one, shape, without, type Change } from '@cumulet/wire';
import { z } from 'zod';

export const Create = shape('KeypairCreate', z.strictObject({
  keypair: z.strictObject({ name: z.string().min(1).max(255).regex(/^[A-Za-z0-9 _@.-]+$/), public_key: z.string(), type: z.enum(['ssh', 'x509']).optional(), user_id: z.string().min(1).max(255).optional() }),
}));
export const ListQuery = shape('KeypairQuery', z.strictObject({ user_id: one(z.string()).optional(), limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: one(z.string()).optional() }));
export const OneQuery = shape('KeypairOneQuery', z.strictObject({ user_id: one(z.string()).optional() }));
const Keypair = shape('Keypair', z.any());
export const Shown = shape('ShownKeypair', z.any(), { keypair: Keypair });
export const Made = shape('MadeKeypair', z.any(), { keypair: Keypair });
export const Listed = shape('KeypairList', z.any(), { keypairs: shape('ListedKeypair', z.any(), { keypair: Keypair }) });

export const changes: Change[] = [
  { at: '2.2', shape: 'Keypair', why: 'key pairs have a type', down: without('type') },
  { at: '2.2', shape: 'KeypairCreate', why: 'key pairs have a type', was: before(['keypair'], 'type') },
  { at: '2.2', trait: 'keypair statuses', why: 'create answers 201 and delete 204' },
  { at: '2.10', shape: 'KeypairCreate', why: 'administrators act for other users', was: before(['keypair'], 'user_id') },
  { at: '2.10', trait: 'keypairs of others', why: 'administrators act for other users' },
  { at: '2.35', trait: 'keypair pages', why: 'key pairs are listed in pages' },
  { at: '2.75', shape: 'KeypairQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
  { at: '2.75', shape: 'KeypairOneQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
  {
    at: '2.92', shape: 'KeypairCreate', why: 'keys are imported, never generated; names may hold @ and dots', was: newer => (newer as z.ZodObject).safeExtend({
      keypair: ((newer as z.ZodObject).shape['keypair'] as z.ZodObject).safeExtend({ name: z.string().min(1).max(255).regex(/^[A-Za-z0-9 _-]+$/), public_key: z.string().optional() }),
    }),
  },
];
