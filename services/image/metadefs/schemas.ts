import { shape } from '@cumulet/wire';
import { z } from 'zod';

const name = z.string().min(1).max(80);
const strings = z.array(z.string());
const scalar = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.unknown()), z.record(z.string(), z.unknown())]);
const count = z.int().min(0);
const stamp = (description: string) => z.string().meta({ description, readOnly: true, format: 'date-time' }).optional();
const link = z.string().meta({ readOnly: true }).optional();
const times = { created_at: stamp('When it was made'), updated_at: stamp('When it was changed last'), self: link, schema: link };
/** A JSON schema of one property, in the part of JSON schema that glance takes. */
const definition = {
  title: z.string(), type: z.enum(['array', 'boolean', 'integer', 'number', 'object', 'string']).nullable(), description: z.string().optional(), operators: strings.optional(), required: strings.optional(), minimum: z.number().optional(), maximum: z.number().optional(),
  maxLength: count.optional(), minLength: count.optional(), pattern: z.string().optional(), enum: z.array(scalar).optional(), readonly: z.boolean().optional(), default: scalar.optional(), items: z.record(z.string(), z.unknown()).optional(),
  maxItems: count.optional(), minItems: count.optional(), uniqueItems: z.boolean().optional(), additionalItems: z.boolean().optional(),
};
const properties = z.record(z.string().max(80), z.object({ name: name.optional(), ...definition }));
const association = {
  name: name.meta({ description: 'The kind of resource, named as in Heat where Heat has it' }), prefix: z.string().max(80).meta({ description: 'What the names of properties begin with on this kind of resource, with its separator' }).optional(),
  properties_target: z.string().max(80).meta({ description: 'Which of several sets of metadata of the resource is meant, such as the image metadata of a volume' }).optional(),
};
const object = { name, description: z.string().optional(), required: strings.optional(), properties: properties.optional() };

export const Namespace = shape('namespace', z.strictObject({
  namespace: name.meta({ description: 'The unique name of the namespace.' }), display_name: z.string().max(80).meta({ description: 'A name for people.' }).optional(), description: z.string().max(500).meta({ description: 'What the namespace is about.' }).optional(),
  visibility: z.enum(['public', 'private']).meta({ description: 'Who can see the namespace.' }).optional(), protected: z.boolean().meta({ description: 'Whether the namespace cannot be deleted.' }).optional(), owner: z.string().max(255).meta({ description: 'The project that owns the namespace.' }).optional(),
  resource_type_associations: z.array(z.object(association)).optional(), properties: properties.optional(), objects: z.array(z.object(object)).optional(), tags: z.array(z.object({ name })).optional(), ...times,
}));
export type NamespaceInput = z.infer<typeof Namespace.newest>;
export const MetadefObject = shape('object', z.strictObject({ ...object, ...times }));
export const Property = shape('property', z.strictObject({ name, ...definition }));
export const Tag = shape('tag', z.strictObject({ name, created_at: times.created_at, updated_at: times.updated_at }));
export const Tags = shape('tags', z.object({ tags: z.array(z.object({ name })) }));
export const Association = shape('resource_type_association', z.strictObject({ ...association, created_at: times.created_at, updated_at: times.updated_at }));
/** Written by glance alone. */
export const readOnly = ['created_at', 'updated_at', 'self', 'schema'] as const;

const json = (s: z.ZodType) => { const { $schema: _, type: __, ...rest } = z.toJSONSchema(s, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Record<string, unknown>; return rest; };
const one = (title: string, s: z.ZodType) => ({ name: title, ...json(s) });
const several = (title: string, key: string, item: object, pages: boolean) => ({
  name: title, properties: { [key]: key === 'properties' ? { type: 'object', additionalProperties: item } : { type: 'array', items: item }, ...(pages ? { first: { type: 'string' }, next: { type: 'string' }, schema: { type: 'string' } } : {}) },
  links: pages ? [{ rel: 'first', href: '{first}' }, { rel: 'next', href: '{next}' }, { rel: 'describedby', href: '{schema}' }] : [],
});
const namespaceDocument = one('namespace', Namespace.newest);
const objectDocument = one('object', MetadefObject.newest);
const propertyDocument = one('property', Property.newest);
const tagDocument = one('tag', Tag.newest);
const associationDocument = one('resource_type_association', Association.newest);
/** The documents below /v2/schemas/metadefs. */
export const documents: Readonly<Record<string, Record<string, unknown>>> = {
  'metadefs/namespace': namespaceDocument, 'metadefs/namespaces': several('namespaces', 'namespaces', namespaceDocument, true),
  'metadefs/object': objectDocument, 'metadefs/objects': several('objects', 'objects', objectDocument, true),
  'metadefs/property': propertyDocument, 'metadefs/properties': several('properties', 'properties', propertyDocument, false),
  'metadefs/tag': tagDocument, 'metadefs/tags': several('tags', 'tags', tagDocument, true),
  'metadefs/resource_type': associationDocument, 'metadefs/resource_types': several('resource_type_associations', 'resource_type_associations', associationDocument, false),
};
