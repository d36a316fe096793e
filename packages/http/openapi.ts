import type { Versions } from '@cumulet/wire';
import { z } from 'zod';
import type { Operation } from './operation.ts';

const schemaOf = (schema: z.ZodType, io: 'input' | 'output') => z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12', reused: 'inline', cycles: 'ref' });

/** The OpenAPI 3.1 document of a service at its newest version, computed from its operations. Actions of one path share its one POST. */
export function openapi(title: string, operations: readonly Operation[], prefix: string, versions: Versions | undefined): object {
  const paths: Record<string, Record<string, unknown>> = {};
  const groups = Map.groupBy(operations, op => `${op.method} ${op.root ? '' : prefix}${op.path.replace(/:([a-z_]+)/gi, '{$1}')}`);
  for (const [key, ops] of groups) {
    const [method = '', path = ''] = key.split(' ');
    const first = ops[0] as Operation;
    const bodies = ops.flatMap(op => (op.body ? [schemaOf(op.body.newest, 'input')] : []));
    (paths[path] ??= {})[method.toLowerCase()] = {
      operationId: ops.length === 1 ? first.id : `${first.id.split('.')[0]}.${first.action === undefined ? 'versions' : 'action'}`,
      summary: ops.length === 1 ? first.summary : ops.map(op => op.summary).join('; '),
      ...describe(ops),
      parameters: [
        ...[...path.matchAll(/\{([a-z_]+)\}/gi)].map(m => ({ name: m[1], in: 'path', required: true, schema: { type: 'string' } })),
        ...(first.query ? queryParameters(first.query.newest) : []),
      ],
      ...(bodies.length > 0 ? { requestBody: { required: true, content: { 'application/json': { schema: bodies.length === 1 ? bodies[0] : { oneOf: bodies } } } } } : {}),
      ...(first.upload ? { requestBody: { required: true, content: Object.fromEntries(first.upload.map(type => [type, { schema: { type: 'string', format: 'binary' } }])) } } : {}),
      responses: Object.fromEntries(ops.map(op => [String(op.status ?? 200), { description: 'Success', ...(op.reply ? { content: { 'application/json': { schema: schemaOf(op.reply.newest, 'output') } } } : {}) }])),
      security: typeof first.policy === 'object' && 'open' in first.policy ? [] : [{ token: [] }],
    };
  }
  return {
    openapi: '3.1.0',
    info: { title, version: versions?.max ?? '1.0', ...(versions ? { description: `Microversions ${versions.min} to ${versions.max}; this document shows the newest.\n\n${history(versions)}` } : {}) },
    components: { securitySchemes: { token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' } } },
    paths,
  };
}
/** The version history, from the `why` of each change. */
export const history = (versions: Versions): string => versions.changes.toReversed().map(c => `- ${c.at}: ${c.why}`).join('\n');

function describe(ops: readonly Operation[]) {
  return { description: ops.map(op => `\`${op.id}\`${op.since || op.until ? ` (${op.since ?? 'first'} to ${op.until ?? 'newest'})` : ''}: ${typeof op.policy === 'string' ? `rule \`${op.policy}\`` : Object.values(op.policy)[0]}`).join('\n\n') };
}
function queryParameters(schema: z.ZodType): object[] {
  const json = schemaOf(schema, 'input') as { properties?: Record<string, object>; required?: string[] };
  return Object.entries(json.properties ?? {}).map(([name, of]) => ({ name, in: 'query', required: json.required?.includes(name) ?? false, schema: of }));
}
