import { z } from 'zod';
import { DriverError } from '../errors.ts';

/** What is read from a target, as it may be after somebody's hand was in it. Unknown keys are dropped; sizes are bounded before parsing. */

const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const hex = z.string().regex(/^[0-9a-f]{64}$/);

/** One object of data. `compression` is upstream's word. The last three are ours. */
const entry = z.object({
  offset: bytes,
  length: bytes,
  compression: z.string().max(20),
  /** Of the plain bytes. Ours have none when they are zeros: upstream writes it and never looks at it. */
  md5: z.string().regex(/^[0-9a-f]{32}$/).optional(),
  /** SHA-256 of the plain bytes. */
  sha256: hex.optional(),
  /** Bytes of the object as it lies there. */
  stored: bytes.optional(),
  /** Nothing but zeros: not to be read. */
  zeros: z.boolean().optional(),
});
export type ObjectEntry = z.infer<typeof entry> & { readonly name: string };
/** One key: the object's name. */
const named = z.record(z.string().max(1024), entry).refine((one) => Object.keys(one).length === 1);

const partRef = z.object({ name: z.string().max(1024), sha256: hex, from: bytes, to: bytes });
export type PartRef = z.infer<typeof partRef>;

const ours = z.object({
  version: z.literal(1),
  /** Of the volume, in bytes. */
  bytes,
  /** The grain of the hashes. */
  block: z.number().int().min(512).max(1 << 30),
  parts: z.array(partRef),
  /** SHA-256 of the parent's metadata object: ties the chain. */
  parent_metadata: hex.nullable(),
  keep: z.record(z.string(), z.unknown()).optional(),
});
export type Ours = z.infer<typeof ours>;

const text = z.string().max(100_000);
const metadata = z.object({
  version: z.string().max(20),
  backup_id: text,
  volume_id: text,
  backup_name: text.nullish(),
  backup_description: text.nullish(),
  created_at: text,
  objects: z.array(named),
  parent_id: text.nullish(),
  volume_meta: z.string().max(4 << 20).nullish(),
  cumulet: z.unknown().optional(),
});
export interface Metadata extends Omit<z.infer<typeof metadata>, 'objects' | 'cumulet'> {
  readonly objects: readonly ObjectEntry[];
  readonly cumulet: Ours | undefined;
}

const part = z.object({
  cumulet: z.literal(1),
  backup_id: text,
  moment: text,
  block: z.number().int().min(512).max(1 << 30),
  from: bytes,
  to: bytes,
  objects: z.array(named),
  /** Numbers of blocks by turns: zeros, hashed, zeros, hashed … */
  runs: z.array(z.number().int().min(0)),
});
export interface PartHead extends Omit<z.infer<typeof part>, 'objects'> { readonly objects: readonly ObjectEntry[] }

const damaged = (name: string, cause?: unknown) => new DriverError('invalid', `The object ${name} is damaged.`, cause === undefined ? {} : { detail: String(cause).slice(0, 500), cause });

function parsed<T>(schema: z.ZodType<T>, text: string, name: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(name, error);
  }
}
const entries = (objects: z.infer<typeof named>[]): ObjectEntry[] => objects.flatMap((one) => Object.entries(one).map(([name, found]) => ({ ...found, name })));

export function readMetadata(text: string, name: string): Metadata {
  const { objects, cumulet, ...rest } = parsed(metadata, text, name);
  // Somebody else's key of that name is not ours to judge: the backup is then one of upstream's.
  const extension = ours.safeParse(cumulet);
  return { ...rest, objects: entries(objects), cumulet: extension.success ? extension.data : undefined };
}

export function readPartHead(text: string, name: string): PartHead {
  const { objects, ...rest } = parsed(part, text, name);
  return { ...rest, objects: entries(objects) };
}

export const entryJson = ({ name, ...rest }: ObjectEntry): string => JSON.stringify({ [name]: rest });
