import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, NotFound, parseBool } from '@cumulet/wire';
import { z } from 'zod';
import { refuseUnknown, type Query } from '../providers/filters.ts';
import { AnyQuery, dated, dates, newest } from '../providers/routes.ts';
import { listProviders } from '../providers/store.ts';
import { read, readAs } from '../refusal.ts';
import { deleteClass, deleteTrait, listClasses, listTraits, makeNamed, renameClass } from './store.ts';

const classView = (name: string) => ({ name, links: [{ rel: 'self', href: `/resource_classes/${name}` }] });
const classBody = z.strictObject({ name: z.string().max(255).regex(/^CUSTOM_[A-Z0-9_]+$/) });

/** The names that the rest is told in: resource classes and traits. */
export function catalogRoutes(rt: Runtime): Operation[] {
  return [
    operation({
      id: 'resource_classes.list', summary: 'List resource classes', method: 'GET', path: '/resource_classes', since: '1.2', policy: 'placement:resource_classes:list',
      handler: async ctx => {
        const all = await listClasses(rt.db);
        return dated(ctx as Context, newest(all), { resource_classes: all.map(c => classView(c.name)) });
      },
    }),
    operation({
      id: 'resource_classes.show', summary: 'Show a resource class', method: 'GET', path: '/resource_classes/:name', since: '1.2', policy: 'placement:resource_classes:show',
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        const found = (await listClasses(rt.db)).find(c => c.name === name);
        if (!found) throw new NotFound(`No such resource class ${name}.`);
        return dated(ctx as Context, found.changedAt ?? new Date(rt.clock()), classView(name));
      },
    }),
    operation({
      id: 'resource_classes.create', summary: 'Make a custom resource class', method: 'POST', path: '/resource_classes', since: '1.2', policy: 'placement:resource_classes:create', status: 201,
      handler: async ctx => {
        const { name } = read(classBody, ctx as Context);
        if (!await makeNamed(rt.db, 'placement_classes', name)) throw new Conflict(`Conflicting resource class already exists: ${name}`);
        return new Reply(201, undefined, { location: `${ctx.baseUrl}/resource_classes/${name}` });
      },
    }),
    operation({
      id: 'resource_classes.update', summary: 'Make a custom resource class by its name; until 1.6, give it another', method: 'PUT', path: '/resource_classes/:name', since: '1.2', policy: 'placement:resource_classes:update',
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        if (ctx.dialect.has('classes by name')) {
          readAs(classBody, { name });
          return new Reply(await makeNamed(rt.db, 'placement_classes', name) ? 201 : 204, undefined, { location: `${ctx.baseUrl}/resource_classes/${name}` });
        }
        const to = read(classBody, ctx as Context).name;
        await renameClass(rt.db, name, to);
        return classView(to);
      },
    }),
    operation({
      id: 'resource_classes.delete', summary: 'Delete a custom resource class that nobody has', method: 'DELETE', path: '/resource_classes/:name', since: '1.2', policy: 'placement:resource_classes:delete', status: 204,
      handler: async ctx => { await deleteClass(rt.db, ctx.params['name'] ?? ''); return new Reply(204); },
    }),
    operation({
      id: 'traits.list', summary: 'List traits', method: 'GET', path: '/traits', since: '1.6', policy: 'placement:traits:list', query: AnyQuery,
      handler: async ctx => {
        const query = ctx.query as Query;
        refuseUnknown(query, name => name === 'name' || name === 'associated');
        const associated = query['associated'] === undefined ? undefined : parseBool(String(query['associated']));
        if (query['associated'] !== undefined && (associated === undefined || !/^(true|false)$/i.test(String(query['associated'])))) throw new BadRequest('The query parameter "associated" only accepts "true" or "false"');
        const asked = nameFilter(query['name']);
        const inUse = associated === undefined ? undefined : new Set((await listProviders(rt.db)).flatMap(p => p.traits));
        const all = (await listTraits(rt.db)).filter(t => asked(t.name) && (inUse === undefined || inUse.has(t.name) === associated));
        return dated(ctx as Context, newest(all), { traits: all.map(t => t.name) });
      },
    }),
    operation({
      id: 'traits.show', summary: 'Whether a trait exists', method: 'GET', path: '/traits/:name', since: '1.6', policy: 'placement:traits:show', status: 204,
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        const found = (await listTraits(rt.db)).find(t => t.name === name);
        if (!found) throw new NotFound(`No such trait(s): ${name}.`);
        return new Reply(204, undefined, dates(ctx as Context, found.changedAt ?? new Date(rt.clock())));
      },
    }),
    operation({
      id: 'traits.update', summary: 'Make a custom trait', method: 'PUT', path: '/traits/:name', since: '1.6', policy: 'placement:traits:update', status: 204,
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        if (!/^CUSTOM_[A-Z0-9_]+$/.test(name) || name.length > 255) throw new BadRequest('The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"');
        const made = await makeNamed(rt.db, 'placement_traits', name);
        return new Reply(made ? 201 : 204, undefined, { location: `${ctx.baseUrl}/traits/${name}`, ...dates(ctx as Context, new Date(rt.clock())) });
      },
    }),
    operation({
      id: 'traits.delete', summary: 'Delete a custom trait that nobody has', method: 'DELETE', path: '/traits/:name', since: '1.6', policy: 'placement:traits:delete', status: 204,
      handler: async ctx => { await deleteTrait(rt.db, ctx.params['name'] ?? ''); return new Reply(204); },
    }),
  ];
}

/** `in:A,B` or `startswith:HW_`. */
function nameFilter(given: string | string[] | undefined): (trait: string) => boolean {
  if (given === undefined) return () => true;
  const text = String(given);
  if (text.startsWith('in:')) { const names = new Set(text.slice(3).split(',')); return t => names.has(t); }
  if (text.startsWith('startswith:')) return t => t.startsWith(text.slice(11));
  throw new BadRequest('Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:[name1,name2|prefix]. Got: "' + text + '"');
}
