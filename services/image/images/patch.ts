import { BadRequest, bare, explain, Forbidden } from '@cumulet/wire';
import { imageSchema, readOnlyNames, reserved, reservedPrefix } from './schemas.ts';

export type Op = 'add' | 'remove' | 'replace';
/** One change: `path` is decoded, one member long but for locations. */
export interface Change { readonly op: Op; readonly path: readonly [string, ...string[]]; readonly value?: unknown; readonly draft: 4 | 10 }

/** Media types of a patch and the draft of JSON patch that each stands for. */
export const patchTypes: Readonly<Record<string, 4 | 10>> = { 'application/openstack-images-v2.0-json-patch': 4, 'application/openstack-images-v2.1-json-patch': 10 };
const ops: readonly Op[] = ['add', 'remove', 'replace'];

/** Reads a patch of either draft; refuses what no image takes, whatever its state. */
export function readPatch(body: unknown, draft: 4 | 10): Change[] {
  if (!Array.isArray(body)) throw new BadRequest('Request body must be a JSON array of operation objects.');
  return body.map(raw => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw new BadRequest('Operations must be JSON objects.');
    const change = readOne(raw as Record<string, unknown>, draft);
    checkChange(change);
    return change;
  });
}

function readOne(raw: Record<string, unknown>, draft: 4 | 10): Change {
  let op: Op;
  let pointer: unknown;
  if (draft === 10) {
    if (raw['op'] === undefined || raw['op'] === null) throw new BadRequest(`Unable to find \`op\` in JSON Schema change. It must be one of the following: ${ops.join(', ')}.`);
    op = raw['op'] as Op;
    if (!ops.includes(op)) throw new BadRequest(`Invalid operation: \`${bare(op)}\`. It must be one of the following: ${ops.join(', ')}.`);
    if (!('path' in raw)) throw new BadRequest("Unable to find 'path' in JSON Schema change");
    pointer = raw['path'];
  } else {
    const named = ops.filter(o => o in raw);
    if (named.length > 1) throw new BadRequest('Operation objects must contain only one member named "add", "remove", or "replace".');
    if (named.length === 0) throw new BadRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".');
    op = named[0] as Op;
    pointer = raw[op];
  }
  const path = decodePointer(pointer);
  // Only locations are changed one by one: /locations/- and /locations/2.
  const depth = path[0] === 'locations' && op !== 'replace' ? 2 : 1;
  if (path.length !== depth) throw new BadRequest(`Invalid JSON pointer for this resource: '/${path.join('/')}'`);
  if (op === 'remove') return { op, path, draft };
  if (!('value' in raw)) throw new BadRequest(`Operation "${op}" requires a member named "value".`);
  return { op, path, value: raw['value'], draft };
}

function decodePointer(pointer: unknown): [string, ...string[]] {
  if (typeof pointer !== 'string' || !pointer.startsWith('/')) throw new BadRequest(`Pointer \`${bare(pointer)}\` does not start with "/".`);
  if (/\/\s*?\//.test(pointer.slice(1))) throw new BadRequest(`Pointer \`${pointer}\` contains adjacent "/".`);
  if (pointer.length > 1 && pointer.endsWith('/')) throw new BadRequest(`Pointer \`${pointer}\` end with "/".`);
  if (pointer.slice(1).trim() === '' || pointer.slice(1).trim() === '/') throw new BadRequest(`Pointer \`${pointer}\` does not contains valid token.`);
  if (/~[^01]/.test(pointer) || pointer.endsWith('~')) throw new BadRequest(`Pointer \`${pointer}\` contains "~" not part of a recognized escape sequence.`);
  return pointer.replace(/^\/+/, '').split('/').map(part => part.replaceAll('~1', '/').replaceAll('~0', '~').trim()) as [string, ...string[]];
}

function checkChange({ op, path, value }: Change): void {
  const [root] = path;
  if (readOnlyNames.has(root)) throw new Forbidden(`Attribute '${root}' is read-only.`);
  if (reserved.has(root) || root.startsWith(reservedPrefix)) throw new Forbidden(`Attribute '${root}' is reserved.`);
  if (root === '__proto__') throw new BadRequest("'__proto__' is not allowed as a member name.");
  if (op === 'remove') return;
  if (root.length > 255) throw new BadRequest('Custom property should not be greater than 255 characters.');
  const partial = { [root]: root === 'locations' && op === 'add' ? [value] : value };
  const parsed = imageSchema.safeParse(partial);
  if (parsed.success) return;
  const e = explain(parsed.error, partial);
  throw new BadRequest(`Provided object does not match schema 'image': ${e.reason}\n\nOn instance['${root}']`);
}
