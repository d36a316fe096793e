import type { Operation } from '@cumulet/http';
import type { FastifyInstance } from 'fastify';
import { bodiesOf, few, headersOf, many, nobody, nowhere, queriesOf, type Known } from './inputs.ts';
import type { watchRows } from './rows.ts';

/** One service under fire. */
export interface Target {
  readonly app: FastifyInstance;
  /** What its paths begin with, and the service's own error body. */
  readonly prefix: string;
  fault(body: unknown, status: number): boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** `volume 3.71`: the name under which it is asked for a microversion and its newest one. */
  readonly micro?: readonly [string, string];
  readonly known: Known;
  /** Further right bodies by operation. */
  readonly bodies?: Readonly<Record<string, readonly unknown[]>>;
  /** The value of a parameter in an operation's path. */
  param(op: Operation, name: string): string | undefined;
  /** Operations that are asked with odd headers too. */
  readonly oddHeaders?: RegExp;
  /** Names that queries know beside the schema's. */
  readonly queries?: readonly string[];
  /** Makes what the operation has done undone enough for the next; called after each success that is no read. */
  restore?(op: Operation): Promise<unknown>;
  readonly rows?: Awaited<ReturnType<typeof watchRows>>;
  /** Operations that make what they are asked for, though they only read. */
  readonly makes?: RegExp;
  readonly skip?: (op: Operation) => boolean;
  /** Statuses of 500 and more that are meant. */
  readonly meant?: readonly number[];
}
export interface Found { /** What must not be. */ readonly wrong: string[]; readonly sent: number; /** Odd bodies that were taken, for whoever wants to read them. */ readonly taken: { readonly op: string; readonly status: number; readonly what: string; readonly body: unknown }[]; /** What the right bodies were answered. */ readonly right: string[] }

const short = (value: unknown): string => { const text = value === undefined ? 'absent' : JSON.stringify(value); return text.length > 80 ? `${text.slice(0, 80)}… (${text.length})` : text; };

/** Sends each operation of a service what nobody means: in its path, its query and its body. */
export async function sweep(t: Target, o: { readonly all?: boolean; readonly only?: RegExp } = {}): Promise<Found> {
  const wrong = new Map<string, string>();
  const taken: Found['taken'] = [];
  const right: string[] = [];
  let sent = 0;
  let absent = false;
  const say = (op: Operation, kind: string, what: string) => { const key = `${op.id} ${kind}`; if (!wrong.has(key)) wrong.set(key, `${op.id}: ${kind} ${what}`); };
  const path = (op: Operation, at?: string) => `${op.root ? '' : t.prefix}${op.path.replaceAll(/:([a-z_]+)/gi, (_, name: string) => (at === undefined ? encodeURIComponent(t.param(op, name) ?? '1') : at.includes('%') ? at : encodeURIComponent(at)))}`;
  const send = async (op: Operation, url: string, body?: unknown, headers: Record<string, string> = {}) => {
    sent++;
    const version = op.until ?? t.micro?.[1];
    const began = performance.now();
    const r = await t.app.inject({
      method: op.method as 'GET', url, headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': op.accepts?.at(-1) ?? 'application/json' }), ...(t.micro ? { 'openstack-api-version': `${t.micro[0]} ${version}` } : {}), ...t.headers, ...headers },
      ...(body === undefined ? {} : { payload: Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    });
    const about = `${r.statusCode} to ${op.method} ${url.slice(0, 160)} ${body === undefined ? '' : short(body)}: ${r.body.slice(0, 160)}`;
    if (r.statusCode >= 500 && r.statusCode !== 501 && !t.meant?.includes(r.statusCode)) say(op, 'fails', about);
    // Not how fast, which is the benchmarks' matter: whether it hangs.
    if (performance.now() - began > 30_000) say(op, 'hangs', `${Math.round(performance.now() - began)} ms, ${about}`);
    if (r.statusCode >= 400 && op.method !== 'HEAD') { let fault: unknown; try { fault = JSON.parse(r.body); } catch { /* judged as it is */ } if (!t.fault(fault, r.statusCode)) say(op, 'words its refusal strangely', about); }
    return r;
  };
  /** After refusals: nothing is different. */
  const unchanged = async (op: Operation, after: string) => { const tables = await t.rows?.changed(); if (tables && tables.length > 0 && !t.makes?.test(op.id)) say(op, 'refused and changed', `${tables.join(', ')} ${after}`); };
  const done = async (op: Operation) => { await t.restore?.(op); await t.rows?.changed(); };

  await t.rows?.changed();
  let turn = 0;
  for (const op of ordered(t.app.operations)) {
    turn++;
    if (t.oddHeaders?.test(op.id)) {
      for (const headers of headersOf(o.all ? undefined : turn)) { const r = await send(op, path(op), op.upload ? Buffer.from('QFI') : undefined, { ...(op.upload ? { 'content-type': op.upload[0] as string } : {}), ...headers }); if (r.statusCode < 400) await done(op); }
      await unchanged(op, 'by a header');
    }
    if (op.upload || t.skip?.(op) || o.only?.test(op.id) === false) continue;
    const reads = op.method === 'GET' || op.method === 'HEAD';
    for (const bad of op.path.includes(':') && !op.path.endsWith('/default') ? nowhere.filter((_, n) => n < 4 || o.all === true || (n + turn) % 4 === 0) : []) {
      const r = await send(op, path(op, bad), reads || op.method === 'DELETE' ? undefined : op.action === undefined ? {} : { [op.action]: {} });
      if (r.statusCode < 400 && !reads) await done(op);
      if (bad === nobody && r.statusCode >= 400) absent = true;
      if (absent && r.statusCode < 400) say(op, 'finds what nobody made', `${bad}: ${r.statusCode} ${r.body.slice(0, 160)}`);
    }
    absent = false;
    if (!reads) await unchanged(op, 'at ids that nothing has');
    if (reads) { for (const query of queriesOf(op.query?.newest, { names: op.query ? t.queries ?? [] : [], turn: o.all === true && op.query !== undefined ? undefined : turn })) await send(op, `${path(op)}?${query}`); await unchanged(op, 'when read'); continue; }
    if (op.method === 'DELETE') {
      for (const query of op.query ? queriesOf(op.query.newest, { turn: o.all ? undefined : turn }).filter(q => !/^(limit|marker|sort_|name|fields)/.test(q)) : []) if ((await send(op, `${path(op)}?${query}`)).statusCode < 400) await done(op);
      continue;
    }
    let last = '';
    for (const body of bodiesOf(op.body?.newest, { known: t.known, odds: o.all ? many : few, turn: o.all ? undefined : turn, action: op.action, ...(t.bodies?.[op.id] ? { bodies: t.bodies[op.id] as unknown[] } : {}) })) {
      const r = await send(op, path(op), body.value === undefined ? null : body.value);
      const what = body.at === '' ? `right: ${short(body.value)}` : `${body.at} = ${short(body.odd)}`;
      if (body.at === '') right.push(`${op.id}: ${r.statusCode} ${r.statusCode < 400 ? '' : `${r.body.slice(0, 200)} ${JSON.stringify(body.value)?.slice(0, 600)}`}`);
      else if (r.statusCode < 400) taken.push({ op: op.id, status: r.statusCode, what, body: body.value });
      if (r.statusCode < 400) await done(op);
      last = what;
    }
    await unchanged(op, `at some body before ${last}`);
  }
  return { wrong: [...wrong.values()], sent, taken, right };
}

/** What takes away what others need comes last. */
function ordered(operations: readonly Operation[]): Operation[] {
  const late = (op: Operation) => (op.method === 'DELETE' ? 2 : /delete|remove|purge|reset|detach|terminate|unmanage/i.test(`${op.action ?? ''} ${op.id}`) ? 1 : 0);
  return operations.toSorted((a, b) => late(a) - late(b));
}
