import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, NotFound, parseBool } from '@cumulet/wire';
import { z } from 'zod';
import { AnyQuery, dated } from '../providers/routes.ts';
import { refuseUnknown, type Query } from '../providers/filters.ts';
import { COMPUTE_TRAITS, listProviders, STANDARD_CLASSES } from '../providers/store.ts';
import { read, readAs, refuse } from '../refusal.ts';

const classView = (name: string) => ({ name, links: [{ rel: 'self', href: `/resource_classes/${name}` }] });

/** The names that the rest is told in: resource classes and traits. */
export function catalogRoutes(rt: Runtime): Operation[] {
  const known = async (associated: boolean | undefined): Promise<string[]> => {
    const inUse = new Set((await listProviders(rt.db)).flatMap(p => p.traits));
    const all = [...new Set([...COMPUTE_TRAITS, 'COMPUTE_STATUS_DISABLED', ...inUse])].sort();
    return all.filter(t => associated === undefined || inUse.has(t) === associated);
  };
  return [
    operation({
      id: 'resource_classes.list', summary: 'List resource classes', method: 'GET', path: '/resource_classes', since: '1.2', policy: 'placement:resource_classes:list',
      handler: ctx => dated(ctx as Context, new Date(rt.clock()), { resource_classes: STANDARD_CLASSES.map(classView) }),
    }),
    operation({
      id: 'resource_classes.show', summary: 'Show a resource class', method: 'GET', path: '/resource_classes/:name', since: '1.2', policy: 'placement:resource_classes:show',
      handler: ctx => {
        const name = ctx.params['name'] ?? '';
        return dated(ctx as Context, new Date(rt.clock()), classView(knownClass(name)));
      },
    }),
    operation({
      id: 'traits.list', summary: 'List traits', method: 'GET', path: '/traits', since: '1.6', policy: 'placement:traits:list', query: AnyQuery,
      handler: async ctx => {
        const query = ctx.query as Query;
        refuseUnknown(query, name => name === 'name' || name === 'associated');
        const associated = query['associated'] === undefined ? undefined : parseBool(String(query['associated']));
        if (query['associated'] !== undefined && associated === undefined) throw new BadRequest(`The query parameter "associated" only accepts "true" or "false"`);
        const all = await known(associated);
        return dated(ctx as Context, new Date(rt.clock()), { traits: all.filter(nameFilter(query['name'])) });
      },
    }),
    operation({
      id: 'traits.show', summary: 'Whether a trait exists', method: 'GET', path: '/traits/:name', since: '1.6', policy: 'placement:traits:show', status: 204,
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        if (!(await known(undefined)).includes(name)) throw new NotFound(`No such trait(s): ${name}.`);
        return new Reply(204);
      },
    }),
    refuse('resource_classes.create', 'POST', '/resource_classes', 'placement:resource_classes:create', { since: '1.2', look: ctx => read(customClass, ctx) }),
    // Until 1.6 a class got another name; since then it is made.
    refuse('resource_classes.update', 'PUT', '/resource_classes/:name', 'placement:resource_classes:update', { since: '1.2', look: ctx => {
      const byName = ctx.dialect.has('classes by name');
      readAs(customClass, byName ? { name: ctx.params['name'] } : ctx.body);
      if (!byName) throw new BadRequest(`Cannot update standard resource class ${knownClass(ctx.params['name'] ?? '')}`);
    } }),
    refuse('resource_classes.delete', 'DELETE', '/resource_classes/:name', 'placement:resource_classes:delete', { since: '1.2', look: ctx => {
      throw new BadRequest(`Error in delete resource class: Cannot delete standard resource class ${knownClass(ctx.params['name'] ?? '')}.`);
    } }),
    operation({
      id: 'traits.update', summary: 'Whether a custom trait exists; none is made here', method: 'PUT', path: '/traits/:name', since: '1.6', policy: 'placement:traits:update', status: 204,
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        if (!/^CUSTOM_[A-Z0-9_]{1,248}$/.test(name)) throw new BadRequest('The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"');
        if (!(await known(undefined)).includes(name)) throw new Conflict(`Traits of this cloud are what its compute hosts say of themselves: ${name} cannot be made here.`);
        return new Reply(204, undefined, { location: `/traits/${name}` });
      },
    }),
    refuse('traits.delete', 'DELETE', '/traits/:name', 'placement:traits:delete', { since: '1.6', look: async ctx => {
      const name = ctx.params['name'] ?? '';
      if (!(await known(undefined)).includes(name)) throw new NotFound(`No such trait(s): ${name}.`);
      if (!name.startsWith('CUSTOM_')) throw new BadRequest(`Cannot delete standard trait ${name}.`);
      throw new Conflict(`The trait ${name} is in use by a resource provider.`);
    } }),
  ];
}

const customClass = z.strictObject({ name: z.string().max(255).regex(/^CUSTOM_[A-Z0-9_]+$/) });
function knownClass(name: string): string {
  if (!STANDARD_CLASSES.includes(name)) throw new NotFound(`No such resource class ${name}.`);
  return name;
}

/** `in:A,B` or `startswith:HW_` */
function nameFilter(given: string | string[] | undefined): (trait: string) => boolean {
  if (given === undefined) return () => true;
  const text = String(given);
  if (text.startsWith('in:')) { const names = new Set(text.slice(3).split(',')); return t => names.has(t); }
  if (text.startsWith('startswith:')) return t => t.startsWith(text.slice(11));
  throw new BadRequest('Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:[name1,name2|prefix]. Got: "' + text + '"');
}
