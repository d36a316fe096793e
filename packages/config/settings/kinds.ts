import { z } from 'zod';

export const port = z.coerce.number().int().min(1).max(65535);
export const count = z.coerce.number().int().min(1);
export const flag = z.union([z.boolean(), z.enum(['true', 'false', '1', '0', 'yes', 'no']).transform(v => ['true', '1', 'yes'].includes(v))]);

/** A microversion, quoted in YAML: as a number 2.100 would be 2.1. */
export const microversion = z.templateLiteral([z.number().int(), '.', z.number().int()], 'must be quoted and look like "2.93"');

/** How an object store is signed in to: `v1` wants `authUrl`, `user` and `key`, `v3` also a project and domains. Without `auth` the URL says which. */
export const swiftAccount = {
  auth: z.enum(['v1', 'v3']).optional(), authUrl: z.string(), user: z.string(), key: z.string(), project: z.string().optional(), userDomain: z.string().default('Default'), projectDomain: z.string().default('Default'),
  region: z.string().optional(), storageUrl: z.string().optional(),
};
