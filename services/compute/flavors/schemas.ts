import { before, one, shape, within, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import { boolean, description, name, whole } from '../servers/fields.ts';

const factor = z.union([z.number(), z.string().regex(/^[0-9]+(\.[0-9]+)?$/)]).transform(Number).pipe(z.number().positive().max(3.402823466e38));
export const Create = shape('FlavorCreate', z.strictObject({
  flavor: z.strictObject({
    name, id: z.union([z.string().min(1).max(255).regex(/^(?! )[a-zA-Z0-9. _-]+(?<! )$/), z.int()]).nullable().optional(), ram: whole(1), vcpus: whole(1), disk: whole(0),
    'OS-FLV-EXT-DATA:ephemeral': whole(0).optional(), swap: z.union([whole(0), z.literal('').transform(() => 0)]).optional(), 'os-flavor-access:is_public': boolean.optional(), description: description.optional(),
  }),
}));
export const Update = shape('FlavorUpdate', z.strictObject({ flavor: z.strictObject({ description }) }));
export const ListQuery = shape('FlavorQuery', z.strictObject({
  limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: one(z.string()).optional(), is_public: one(z.string()).optional(), minRam: one(z.string()).optional(), minDisk: one(z.string()).optional(), sort_key: one(z.string()).optional(), sort_dir: one(z.string()).optional(), name: one(z.string()).optional(),
}));
const specKey = z.string().regex(/^[a-zA-Z0-9-_:. ]{1,255}$/);
const specValue = z.union([z.string().max(255), z.number()]).transform(String);
export const Specs = shape('ExtraSpecs', z.strictObject({ extra_specs: z.record(specKey, specValue) }));
export const Spec = shape('ExtraSpec', z.record(specKey, specValue).refine(r => Object.keys(r).length === 1, { message: 'exactly one extra spec is expected' }));
export const AddAccess = shape('FlavorAddAccess', z.strictObject({ addTenantAccess: z.strictObject({ tenant: z.string().min(1).max(255) }) }));
export const RemoveAccess = shape('FlavorRemoveAccess', z.strictObject({ removeTenantAccess: z.strictObject({ tenant: z.string().min(1).max(255) }) }));

const Flavor = shape('Flavor', z.any());
export const Shown = shape('ShownFlavor', z.any(), { flavor: Flavor });
export const Detailed = shape('FlavorDetail', z.any(), { flavors: Flavor });
export const Listed = shape('FlavorList', z.any(), { flavors: shape('FlavorInList', z.any()) });

export const changes: Change[] = [
  { at: '2.7', trait: 'public flavors have no access list', why: 'access is not added to a public flavor' },
  { at: '2.55', shape: 'Flavor', why: 'flavors have a description', down: without('description') },
  { at: '2.55', shape: 'FlavorInList', why: 'flavors have a description', down: without('description') },
  { at: '2.55', shape: 'FlavorCreate', why: 'flavors have a description', was: before(['flavor'], 'description') },
  { at: '2.61', shape: 'Flavor', why: 'extra specs are in the flavor', down: without('extra_specs') },
  { at: '2.75', shape: 'Flavor', why: 'no swap is 0, not an empty text', down: (f: { swap: number | string }) => ({ ...f, swap: f.swap === 0 ? '' : f.swap }) },
  { at: '2.102', shape: 'FlavorQuery', why: 'flavors are listed by name, and no longer sorted by rxtx_factor', was: newer => (newer as z.ZodObject).omit({ name: true }) },
  { at: '2.102', trait: 'no rxtx factor', why: 'the rxtx_factor is gone' },
  { at: '2.102', shape: 'FlavorCreate', why: 'the rxtx_factor is gone', was: newer => within(newer, ['flavor'], flavor => flavor.safeExtend({ rxtx_factor: factor.optional() })) },
  { at: '2.75', shape: 'FlavorQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
];
