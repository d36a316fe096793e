import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { cacheFolder } from '../../setup/cache.mjs';
import { settingsSchema, type Settings } from './settings.ts';

/** A setting that is missing or wrong; the message is one line that names it. */
export class SettingsError extends Error {}

type Tree = { [key: string]: unknown };
const isTree = (v: unknown): v is Tree => typeof v === 'object' && v !== null && !Array.isArray(v);
const constant = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();

/** The variables that are set, for every leaf of the schema: `CUMULET_HTTP_MAX_LIMIT` sets `http.maxLimit`. */
function fromEnvironment(shape: z.ZodObject['shape'], env: Record<string, string | undefined>, prefix: string): Tree {
  const tree: Tree = {};
  for (const [key, type] of Object.entries(shape)) {
    const name = `${prefix}_${constant(key)}`;
    const inner = objectIn(type);
    if (inner) {
      const part = fromEnvironment(inner.shape, env, name);
      if (Object.keys(part).length > 0) tree[key] = part;
    } else if (env[name] !== undefined && env[name] !== '') {
      tree[key] = looksStructured(env[name]) ? parse(env[name]) : env[name];
    }
  }
  return tree;
}
/** Lists and maps are given as YAML (or JSON) in one variable: `CUMULET_VOLUME_BACKENDS='[{name: a, driver: fake}]'`. */
const looksStructured = (text: string) => /^\s*[[{]/.test(text);

function objectIn(type: unknown): z.ZodObject | undefined {
  if (type instanceof z.ZodObject) return type;
  if (type instanceof z.ZodPrefault) return objectIn(type.unwrap());
  return undefined;
}

const merge = (below: Tree, above: Tree): Tree => {
  const out: Tree = { ...below };
  for (const [key, value] of Object.entries(above)) out[key] = isTree(value) && isTree(out[key]) ? merge(out[key], value) : value;
  return out;
};

/** Reads settings once, at the start of a process. Paths come out absolute. */
export function loadSettings(env: Record<string, string | undefined> = process.env, cwd = process.cwd()): Settings {
  const home = resolve(cwd, env['CUMULET_HOME'] || '.cumulet');
  const file = env['CUMULET_CONFIG'] ? resolve(cwd, env['CUMULET_CONFIG']) : join(home, 'cumulet.yaml');
  let written: unknown = {};
  if (existsSync(file)) {
    try { written = parse(readFileSync(file, 'utf8')) ?? {}; } catch (cause) { throw new SettingsError(`${file}: ${(cause as Error).message.split('\n')[0]}`, { cause }); }
    if (!isTree(written)) throw new SettingsError(`${file}: the top level must be a map of settings`);
  } else if (env['CUMULET_CONFIG']) throw new SettingsError(`CUMULET_CONFIG names ${file}, which does not exist`);
  const given = merge(merge({ host: hostname().split('.')[0]?.toLowerCase() || 'cumulet' }, written as Tree), fromEnvironment(settingsSchema.shape, env, 'CUMULET'));
  given['home'] = home;
  given['cache'] = resolve(cwd, given['cache'] === undefined ? cacheFolder(env) : String(given['cache']));
  if (env['DATABASE_URL']) given['databaseUrl'] = env['DATABASE_URL'];
  if (env['REDIS_URL']) given['redisUrl'] = env['REDIS_URL'];
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new SettingsError(`setting ${issue?.path.join('.') || '(top level)'}: ${issue?.message}`);
  }
  const below = (path: string) => (isAbsolute(path) ? path : join(home, path));
  for (const backend of parsed.data.volume.backends) if (backend.path) backend.path = below(backend.path);
  for (const store of parsed.data.image.stores) if (store.path) store.path = below(store.path);
  return parsed.data;
}
