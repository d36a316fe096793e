import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, identityCloud, type IdentityCloud } from '../../test/harness/identity.ts';

/** Replies of a real keystone (Zed), recorded with unmodified clients. What differs on purpose is listed with its reason. */
const folder = fileURLToPath(new URL('../../../shared/peer/golden/identity', import.meta.url));
interface Exchange { readonly service: string; readonly request: { method: string; path: string; headers: Record<string, string>; body: unknown }; readonly response: { status: number; headers: Record<string, string>; body: unknown } }
interface Recorded { readonly operation: string; readonly user: string | null; readonly exchanges: readonly Exchange[] }

/** First what makes things, then what looks at them, last what takes them away. */
const order = ['versions_root', 'versions_v3', 'versions_show', 'project_create', 'project_show', 'project_set', 'user_create', 'group_create', 'group_add_user', 'group_contains_user', 'role_add', 'role_assignment_list', 'role_remove', 'appcred_create', 'ec2_credentials_create'];
const last = ['project_delete'];

const reasons: Record<string, string> = {
  'projects_limit body.links.next': 'keystone 2026 pages by limit and marker; Zed ignored them',
  'projects_limit body.truncated': 'as above',
  'err_400_bad_body body.error.message': 'the validator of JSON schema prints its whole schema; we say what is wrong',
};

const running = existsSync(folder);
describe.skipIf(!running)('the peer\'s replies', () => {
  let cloud: IdentityCloud;
  /** The peer's ids and ours. */
  const ours = new Map<string, string>();
  const tokens = new Map<string, string>();
  beforeAll(async () => {
    cloud = await identityCloud();
    tokens.set('admin', cloud.adminToken).set('demo', await cloud.login('demo', 'demo'));
    const names = { a471bafa41f14f479a6c510158b178ad: cloud.users.admin, '507972e46a0d4bb9926d68fcfbfb8f37': cloud.projects.admin, f2ba5cf3414e408291595268ef8f323f: cloud.projects.demo, aae8fba587ff4a5dbafdf15e1d88d993: cloud.users.demo };
    for (const [theirs, mine] of Object.entries(names)) ours.set(theirs, mine);
    for (const role of (await cloud.as(cloud.adminToken)('GET', '/v3/roles')).body.roles) {
      const theirs = { reader: '1cfe46e7f655404eb7392f25e7e0b0d8', member: 'f656982358c64fc98c818b89ba049457', admin: '8092261c0b6a440486de32fdd7079a26' }[role.name as string];
      if (theirs) ours.set(theirs, role.id);
    }
  });
  afterAll(() => cloud.close());

  const translate = (text: string): string => text.replaceAll(/[0-9a-f]{32,64}/g, id => ours.get(id) ?? id);
  const send = async (r: Recorded, e: Exchange): Promise<Answer> => {
    const who = r.user ?? 'admin';
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(e.request.headers)) {
      const lower = name.toLowerCase();
      if (lower === 'x-auth-token') headers[lower] = tokens.get(who) as string;
      else if (lower === 'x-subject-token') headers[lower] = r.operation === 'token_validate_revoked' ? 'revoked' : tokens.get(who) as string;
      else if (lower === 'content-type') headers[lower] = value;
    }
    const body = e.request.body === null || e.request.body === undefined ? undefined : typeof e.request.body === 'string' ? e.request.body : translate(JSON.stringify(e.request.body)).replaceAll('"<password>"', JSON.stringify(r.operation.includes('bad_password') ? 'wrong' : who)).replaceAll('"<token>"', JSON.stringify(tokens.get(who)));
    return cloud.call(e.request.method, translate(e.request.path), body, headers);
  };
  /** Learns ids from a pair of replies, so that later requests can be translated. */
  const learn = (theirs: unknown, mine: unknown): void => {
    if (Array.isArray(theirs) && Array.isArray(mine)) theirs.forEach((t, i) => learn(t, mine.find((m: { name?: unknown }) => (t as { name?: unknown })?.name !== undefined && m?.name === (t as { name?: unknown }).name) ?? mine[i]));
    else if (typeof theirs === 'object' && theirs !== null && typeof mine === 'object' && mine !== null) for (const key of Object.keys(theirs)) {
      const [t, m] = [(theirs as Record<string, unknown>)[key], (mine as Record<string, unknown>)[key]];
      if ((key === 'id' || key.endsWith('_id')) && typeof t === 'string' && typeof m === 'string' && /^[0-9a-f]{32,64}$/.test(t)) { if (!ours.has(t)) ours.set(t, m); } else learn(t, m);
    }
  };
  /** Where the two replies differ: keys and types; texts of errors too. */
  const differences = (theirs: unknown, mine: unknown, at: string): string[] => {
    const kind = (v: unknown) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);
    if (kind(theirs) !== kind(mine)) return [`${at}: ${kind(theirs)} there, ${kind(mine)} here (${JSON.stringify(theirs)?.slice(0, 60)} / ${JSON.stringify(mine)?.slice(0, 60)})`];
    if (Array.isArray(theirs)) {
      if (theirs.length === 0 || (mine as unknown[]).length === 0) return theirs.length === (mine as unknown[]).length || theirs.length === 0 ? [] : [`${at}: ${theirs.length} there, none here`];
      const name = (theirs[0] as { name?: unknown } | null)?.name;
      return differences(theirs[0], (mine as { name?: unknown }[]).find(m => name !== undefined && m?.name === name) ?? (mine as unknown[])[0], `${at}[]`);
    }
    if (kind(theirs) === 'object') {
      const [t, m] = [theirs as Record<string, unknown>, mine as Record<string, unknown>];
      return [...new Set([...Object.keys(t), ...Object.keys(m)])].flatMap(key => (!(key in t) ? [`${at}.${key}: only here`] : !(key in m) ? [`${at}.${key}: only there`] : differences(t[key], m[key], `${at}.${key}`)));
    }
    if (at.endsWith('.error.message') || at.endsWith('.error.title') || at.endsWith('.error.code')) {
      const same = typeof theirs === 'string' ? translate(theirs).replaceAll(/[0-9a-f]{32}/g, 'ID') === (mine as string).replaceAll(/[0-9a-f]{32}/g, 'ID') : theirs === mine;
      return same ? [] : [`${at}: ${JSON.stringify(theirs)} there, ${JSON.stringify(mine)} here`];
    }
    return [];
  };

  const all = running ? readdirSync(folder).map(f => f.replace('.json', '')) : [];
  const sorted = [...order, ...all.filter(o => !order.includes(o) && !last.includes(o)), ...last];
  test.each(sorted)('%s', async name => {
    const recorded = JSON.parse(readFileSync(`${folder}/${name}.json`, 'utf8')) as Recorded;
    const found: string[] = [];
    for (const exchange of recorded.exchanges.filter(e => e.service === 'identity')) {
      if (exchange.request.path.startsWith('/v3/auth/tokens') && exchange.request.method === 'POST' && !name.startsWith('token_') && !name.startsWith('err_')) continue;
      const answer = await send(recorded, exchange);
      const where = `${exchange.request.method} ${exchange.request.path}`;
      if (answer.status !== exchange.response.status) { found.push(`${where}: status ${exchange.response.status} there, ${answer.status} here ${JSON.stringify(answer.body)?.slice(0, 200)}`); continue; }
      for (const header of Object.keys(exchange.response.headers)) if (answer.headers[header.toLowerCase()] === undefined && !(exchange.response.body === null && /content-type/i.test(header))) found.push(`${where}: header ${header} only there`);
      if (exchange.response.body !== null) found.push(...differences(exchange.response.body, answer.body, 'body').map(d => `${where}: ${d}`));
      learn(exchange.response.body, answer.body);
    }
    expect(found.filter(d => !Object.keys(reasons).some(r => r.startsWith(`${name} `) && d.includes(r.slice(name.length + 1))))).toEqual([]);
  });
});
