import { z } from 'zod';
import { DriverError } from '../errors.ts';

/**
 * The volume metadata container that travels in a backup: everything that is known of the volume is written, and little of it restored.
 * Version 1 is written; 2 differs in that an encrypted volume's type is restored.
 */
const values = z.record(z.string().max(255), z.unknown());
const texts = z.record(z.string().max(255), z.union([z.string(), z.number(), z.boolean(), z.null()]).transform((value) => (value === null ? null : String(value))));
const shape = z.object({
  version: z.union([z.literal(1), z.literal(2)]),
  'volume-base-metadata': values.optional(),
  'volume-metadata': texts.optional(),
  'volume-glance-metadata': texts.optional(),
});
const LONGEST = 4 << 20;

export interface Container {
  readonly version: 1 | 2;
  /** The volume's columns. */
  readonly base: Readonly<Record<string, unknown>> | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  /** The image that it was made from. */
  readonly glance: Readonly<Record<string, string>> | undefined;
}

/** What a volume is, for its backup. Values that JSON cannot hold are left out, as upstream leaves out what it cannot serialize. */
export function metadataContainer(volume: {
  readonly base: Readonly<Record<string, unknown>>; readonly metadata: Readonly<Record<string, string>>; readonly glance: Readonly<Record<string, string>> | null;
}): string {
  const base = Object.fromEntries(Object.entries(volume.base).filter(([, value]) => ['string', 'number', 'boolean', 'object'].includes(typeof value)));
  return JSON.stringify({
    version: 1, 'volume-base-metadata': base, 'volume-metadata': volume.metadata, ...(volume.glance && { 'volume-glance-metadata': volume.glance }),
  });
}

/** Throws `unsupported` for another version, `invalid` for what is no container. */
export function readContainer(text: string): Container {
  let json: unknown;
  try {
    json = text.length > LONGEST ? undefined : JSON.parse(text);
  } catch (error) {
    throw new DriverError('invalid', 'The volume metadata of the backup is damaged.', { cause: error });
  }
  const version: unknown = typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
  if (typeof version === 'number' && version !== 1 && version !== 2) throw new DriverError('unsupported', 'Unsupported backup metadata version requested', { detail: String(version) });
  const read = shape.safeParse(json);
  if (!read.success) throw new DriverError('invalid', 'The volume metadata of the backup is damaged.', { detail: read.error.message.slice(0, 500) });
  const { 'volume-base-metadata': base, 'volume-metadata': metadata, 'volume-glance-metadata': glance } = read.data;
  return { version: read.data.version, base, metadata: metadata && withoutNulls(metadata), glance: glance && withoutNulls(glance) };
}

export interface RestoredFields {
  readonly name?: string;
  readonly description?: string | null;
  /** Replaces the volume's. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Replaces the volume's image metadata, and makes it bootable. */
  readonly glance?: Readonly<Record<string, string>>;
  /** Version 2, of an encrypted volume: the target must be of this type, or of none yet and then becomes it. */
  readonly encryptedType?: string | null;
}

/**
 * What a container changes of the volume that it was restored to. A name that is null is not restored: the one that restoring gave says more.
 * A volume that has a name of its own keeps it, and its description: only one that was made for the restore takes over the backup's.
 */
export function restoredFields(container: Container, target: { readonly name: string | null }): RestoredFields {
  const { base, metadata, glance } = container;
  const text = (key: string): string | null | undefined => {
    const value = base?.[key];
    return value === null || typeof value === 'string' ? value : undefined;
  };
  const own = target.name !== null && target.name !== '' && !target.name.startsWith('restore_backup_');
  const [name, description] = own ? [] : [text('display_name'), text('display_description')];
  return {
    ...(name && { name }),
    ...(description !== undefined && { description }),
    ...(metadata && { metadata }),
    ...(glance && { glance }),
    ...(container.version === 2 && text('encryption_key_id') && { encryptedType: text('volume_type_id') ?? null }),
  };
}

const withoutNulls = (all: Readonly<Record<string, string | null>>): Record<string, string> =>
  Object.fromEntries(Object.entries(all).filter((one): one is [string, string] => one[1] !== null));
