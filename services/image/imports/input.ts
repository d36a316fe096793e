import { z } from 'zod';

/** What an import task was asked to do. */
export const importInput = z.object({
  imageId: z.string(),
  method: z.enum(['glance-direct', 'web-download', 'copy-image', 'glance-download']),
  uri: z.string().optional(),
  /** glance-download: the image of another region and the sealed token of who asked. */
  remote: z.object({ image: z.string(), region: z.string(), interface: z.string(), token: z.string() }).optional(),
  stores: z.array(z.string()).min(1),
  allMustSucceed: z.boolean(),
  /** Properties that the site gives to imported images; admins' imports are left alone. */
  inject: z.record(z.string(), z.string()).optional(),
  /** The request as users see it in the task. */
  shown: z.record(z.string(), z.unknown()),
});
export type ImportInput = z.infer<typeof importInput>;
