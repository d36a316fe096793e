import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, NotFound, parseBool } from '@cumulet/wire';
import { AnyQuery, dated } from '../providers/routes.ts';
import { refuseUnknown, type Query } from '../providers/filters.ts';
import { CLASSES, COMPUTE_TRAITS, listProviders } from '../providers/store.ts';
import { refuse } from '../refusal.ts';

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
      handler: ctx => dated(ctx as Context, new Date(rt.clock()), { resource_classes: CLASSES.map(classView) }),
    }),
    operation({
      id: 'resource_classes.show', summary: 'Show a resource class', method: 'GET', path: '/resource_classes/:name', since: '1.2', policy: 'placement:resource_classes:show',
      handler: ctx => {
        const name = ctx.params['name'] ?? '';
        if (!(CLASSES as readonly string[]).includes(name)) throw new NotFound(`No such resource class ${name}.`, { kind: 'placement.undefined_code' });
        return dated(ctx as Context, new Date(rt.clock()), classView(name));
      },
    }),
    operation({
      id: 'traits.list', summary: 'List traits', method: 'GET', path: '/traits', since: '1.6', policy: 'placement:traits:list', query: AnyQuery,
      handler: async ctx => {
        const query = ctx.query as Query;
        refuseUnknown(query, name => name === 'name' || name === 'associated');
        const associated = query['associated'] === undefined ? undefined : parseBool(String(query['associated']));
        if (query['associated'] !== undefined && associated === undefined) throw new BadRequest(`The query parameter "associated" only accepts "true" or "false"`, { kind: 'placement.query.bad_value' });
        const all = await known(associated);
        return dated(ctx as Context, new Date(rt.clock()), { traits: all.filter(nameFilter(query['name'])) });
      },
    }),
    operation({
      id: 'traits.show', summary: 'Whether a trait exists', method: 'GET', path: '/traits/:name', since: '1.6', policy: 'placement:traits:show', status: 204,
      handler: async ctx => {
        const name = ctx.params['name'] ?? '';
        if (!(await known(undefined)).includes(name)) throw new NotFound(`No such trait(s): ${name}.`, { kind: 'placement.undefined_code' });
        return new Reply(204);
      },
    }),
    refuse('resource_classes.create', 'POST', '/resource_classes', 'placement:resource_classes:create', '1.2'),
    refuse('resource_classes.update', 'PUT', '/resource_classes/:name', 'placement:resource_classes:update', '1.2'),
    refuse('resource_classes.delete', 'DELETE', '/resource_classes/:name', 'placement:resource_classes:delete', '1.2'),
    refuse('traits.update', 'PUT', '/traits/:name', 'placement:traits:update', '1.6'),
    refuse('traits.delete', 'DELETE', '/traits/:name', 'placement:traits:delete', '1.6'),
  ];
}

/** `in:A,B` or `startswith:HW_` */
function nameFilter(given: string | string[] | undefined): (trait: string) => boolean {
  if (given === undefined) return () => true;
  const text = String(given);
  if (text.startsWith('in:')) { const names = new Set(text.slice(3).split(',')); return t => names.has(t); }
  if (text.startsWith('startswith:')) return t => t.startsWith(text.slice(11));
  throw new BadRequest('Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:[name1,name2|prefix]. Got: "' + text + '"', { kind: 'placement.query.bad_value' });
}
