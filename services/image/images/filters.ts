import { BadRequest, lastOf, parseTime } from '@cumulet/wire';
import type { Knex } from 'knex';

/** A condition on rows of `images`. */
export type Condition = (query: Knex.QueryBuilder) => void;
type Query = Readonly<Record<string, string | string[] | undefined>>;

const comparisons: Readonly<Record<string, string>> = { eq: '=', neq: '<>', gt: '>', gte: '>=', lt: '<', lte: '<=' };
/** `gt:2020-01-01T00:00:00Z`, `in:a,b`; without an operator it is `eq`. */
function operator(text: string): { op: string; value: string } {
  const at = text.indexOf(':');
  const op = text.slice(0, Math.max(at, 0));
  return op === 'in' || Object.hasOwn(comparisons, op) ? { op, value: text.slice(at + 1) } : { op: 'eq', value: text };
}

/** The members of an `in:` filter; a value with commas is put in quotes. */
function listed(value: string): string[] {
  const found: string[] = [];
  for (let rest = value; rest !== '';) {
    let one: string;
    if (rest.startsWith('"')) {
      const end = rest.indexOf('"', 1);
      if (end < 0) throw new BadRequest(`Invalid filter value ${value}. The quote is not closed.`);
      one = rest.slice(1, end);
      rest = rest.slice(end + 1);
      if (rest !== '' && !rest.startsWith(',')) throw new BadRequest(`Invalid filter value ${value}. There is no comma after closing quotation mark.`);
    } else {
      const end = rest.indexOf(',') < 0 ? rest.length : rest.indexOf(',');
      one = rest.slice(0, end);
      rest = rest.slice(end);
      if (one.includes('"')) throw new BadRequest(`Invalid filter value ${value}. There is no comma before opening quotation mark.`);
    }
    found.push(one);
    rest = rest.slice(1);
  }
  return found;
}

const texts = new Set(['name', 'id', 'status', 'container_format', 'disk_format']);
const exact = new Set(['checksum', 'os_hash_value', 'os_hash_algo', 'owner']);
const numbers = new Set(['size', 'virtual_size', 'min_disk', 'min_ram']);
const times = new Set(['created_at', 'updated_at']);
/** Not filters, but other parts of the question. */
const others = new Set(['limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'member_status', 'visibility', 'tag', 'os_hidden']);

/** Every filter of the query but visibility and membership. What no attribute has the name of is a custom property. */
export function conditions(query: Query): Condition[] {
  if (query['changes-since'] !== undefined) throw new BadRequest('The "changes-since" filter is no longer available on v2.');
  const made: Condition[] = [hidden(query)];
  const tags = [query['tag'] ?? []].flat().map(t => t.trim());
  if (tags.length > 0) made.push(q => q.whereRaw('tags @> ?::text[]', [tags]));
  for (const [key, given] of Object.entries(query)) {
    if (others.has(key) || given === undefined) continue;
    made.push(one(key, String(lastOf(given))));
  }
  return made;
}

function hidden(query: Query): Condition {
  const asked = String(lastOf(query['os_hidden'] ?? 'false')).toLowerCase();
  if (asked !== 'true' && asked !== 'false') throw new BadRequest(`Invalid value '${asked}' for 'os_hidden' filter. Valid values are 'true' or 'false'.`);
  return q => q.where('os_hidden', asked === 'true');
}

function one(key: string, text: string): Condition {
  if (texts.has(key)) return textual(key, text);
  if (times.has(key)) return temporal(key, text);
  if (exact.has(key)) return q => q.where(key, text);
  if (numbers.has(key)) return numeric(key, text);
  const range = /^(.+)_(min|max)$/.exec(key);
  if (range && numbers.has(range[1] as string)) {
    const bound = Number(text);
    if (!Number.isSafeInteger(bound)) throw new BadRequest('Unable to filter on a range with a non-numeric value.');
    return q => q.where(range[1] as string, range[2] === 'min' ? '>=' : '<=', bound);
  }
  if (key === 'protected') {
    if (text !== 'true' && text !== 'false') throw new BadRequest(`Invalid value '${text}' for 'protected' filter. Valid values are 'true' or 'false'.`);
    return q => q.where(key, text === 'true');
  }
  return q => q.whereRaw('properties @> ?::jsonb', [JSON.stringify({ [key]: text })]);
}

function textual(key: string, text: string): Condition {
  const { op, value } = operator(text);
  // `uploading` is two of our statuses
  const meant = (values: string[]) => (key === 'status' && values.includes('uploading') ? [...values, 'staging'] : values);
  const column = key === 'id' ? 'id::text' : key;
  if (op === 'in') { const values = listed(value); return q => q.whereRaw(`${column} = any(?)`, [meant(values)]); }
  if (op === 'eq') return q => q.whereRaw(`${column} = any(?)`, [meant([value])]);
  throw new BadRequest(`Unable to filter by unknown operator '${op}'.`);
}
function temporal(key: string, text: string): Condition {
  const { op, value } = operator(text);
  const at = parseTime(value.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(Z?)$/, '$1-$2-$3T$4:$5:$6$7'));
  if (!at) throw new BadRequest(`Bad "${key}" query filter format. Use ISO 8601 DateTime notation.`);
  const sql = comparisons[op];
  if (sql === undefined) throw new BadRequest('Unable to filter on a unknown operator.');
  // Users see whole seconds and compare with what they see.
  return q => q.whereRaw(`date_trunc('second', ${key}) ${sql} ?`, [at]);
}
function numeric(key: string, text: string): Condition {
  const { op, value } = operator(text);
  const bound = Number(value);
  const sql = comparisons[op];
  if (sql === undefined || value === '' || !Number.isSafeInteger(bound)) throw new BadRequest(`Invalid filter value ${text} for ${key}.`);
  return q => q.where(key, sql, bound);
}
