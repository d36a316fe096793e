import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { lastOf, shape, type Shape } from '@cumulet/wire';
import { z } from 'zod';
import { pageSize } from '../images/list.ts';
import type { ImageDeps } from '../opened.ts';
import { MetadefObject, Property, Tag, Tags } from './schemas.ts';
import { absentItem, definitionOf, doubleItem, findNamespace, refuseProtected, refuseReadOnly, sortOf } from './service.ts';
import { associationsOf, insertItem, item, itemsOf, removeItems, tagsOf, updateItem, type ItemRow, type Kind, type NamespaceRow } from './store.ts';
import { objectView, propertyView, tagView } from './view.ts';

const Query = shape('query', z.record(z.string(), z.union([z.string(), z.array(z.string())])));
interface Facts { readonly kind: Kind; readonly plural: 'objects' | 'properties' | 'tags'; readonly words: string; readonly rules: { readonly list: string; readonly show: string; readonly add: string; readonly change: string; readonly remove: string; readonly clear: string } }
const kinds: readonly Facts[] = [
  { kind: 'object', plural: 'objects', words: 'an object', rules: { list: 'get_metadef_objects', show: 'get_metadef_object', add: 'add_metadef_object', change: 'modify_metadef_object', remove: 'delete_metadef_object', clear: 'delete_metadef_object' } },
  { kind: 'property', plural: 'properties', words: 'a property', rules: { list: 'get_metadef_properties', show: 'get_metadef_property', add: 'add_metadef_property', change: 'modify_metadef_property', remove: 'remove_metadef_property', clear: 'remove_metadef_property' } },
  { kind: 'tag', plural: 'tags', words: 'a tag', rules: { list: 'get_metadef_tags', show: 'get_metadef_tag', add: 'add_metadef_tag', change: 'modify_metadef_tag', remove: 'delete_metadef_tag', clear: 'delete_metadef_tags' } },
];
const bodies: Readonly<Record<Kind, Shape<z.ZodType<{ name: string; [member: string]: unknown }>>>> = { object: MetadefObject, property: Property, tag: Tag };

/** Objects, properties and tags of a namespace: the same life, other shapes. */
export const itemRoutes = (d: ImageDeps): Operation[] => [...kinds.flatMap(k => routesOf(d, k)), ...tagRoutes(d)];

const view = (row: ItemRow, n: NamespaceRow, prefix = ''): Record<string, unknown> => (row.kind === 'object' ? objectView(row, n.namespace) : row.kind === 'property' ? propertyView(row, prefix) : tagView(row));
const nameIn = (ctx: Context) => ctx.params['name'] as string;

function routesOf(d: ImageDeps, { kind, plural, words, rules }: Facts): Operation[] {
  const base = `/metadefs/namespaces/:namespace/${plural}`;
  const id = `metadefs.${plural}`;
  const find = async (ctx: Context, n: NamespaceRow, name = nameIn(ctx)): Promise<ItemRow> => {
    const row = await item(d.rt.db, n.id, kind, name);
    if (!row) throw absentItem(kind, name, n.namespace);
    return row;
  };
  /** Tags alone come in pages (as upstream), and all at once when no limit is given. */
  const asked = async (ctx: Context<unknown, Readonly<Record<string, string | string[]>>>, n: NamespaceRow) => {
    const marker = ctx.query['marker'];
    return {
      ...sortOf(ctx.query, ['created_at', 'updated_at', 'name']),
      limit: ctx.query['limit'] === undefined ? undefined : pageSize(ctx.query['limit'], 0, d.rt.settings.http.maxLimit),
      after: marker === undefined ? undefined : await find(ctx as Context, n, String(lastOf(marker))),
    };
  };
  return [
    operation({
      id: `${id}.list`, summary: `List the ${plural} of a namespace`, method: 'GET', path: base, policy: rules.list, permit: 'object', query: Query,
      handler: async ctx => {
        const n = await findNamespace(d.rt.db, ctx);
        if (kind === 'tag') return { tags: (await tagsOf(d.rt.db, n.id, await asked(ctx, n))).map(tagView) };
        const rows = await itemsOf(d.rt.db, n.id, kind);
        if (kind === 'property') return { properties: Object.fromEntries(rows.map(r => [r.name, r.definition])) };
        return { [plural]: rows.map(r => view(r, n)), ...(kind === 'object' ? { schema: 'v2/schemas/metadefs/objects' } : {}) };
      },
    }),
    operation({
      id: `${id}.show`, summary: `Show ${words}`, method: 'GET', path: `${base}/:name`, policy: rules.show, permit: 'object', query: Query,
      handler: async ctx => {
        const n = await findNamespace(d.rt.db, ctx);
        const type = ctx.query['resource_type'] === undefined ? undefined : String(lastOf(ctx.query['resource_type']));
        const prefix = type === undefined || kind !== 'property' ? '' : (await associationsOf(d.rt.db, [n.id])).find(a => a.resource_type === type)?.prefix ?? '';
        const name = nameIn(ctx);
        // With a resource type the name comes with that type's prefix.
        return view(await find(ctx, n, prefix !== '' && name.startsWith(prefix) ? name.slice(prefix.length) : name), n, prefix);
      },
    }),
    ...(kind === 'tag' ? [] : [operation({
      id: `${id}.create`, summary: `Create ${words}`, method: 'POST', path: base, policy: rules.add, permit: 'object', body: bodies[kind], status: 201,
      handler: async ctx => {
        refuseReadOnly(ctx.body);
        const n = await findNamespace(d.rt.db, ctx);
        const row = await insertItem(d.rt.db, n.id, kind, ctx.body.name, definitionOf(ctx.body));
        if (!row) throw doubleItem(kind, ctx.body.name, n.namespace);
        return view(row, n);
      },
    })]),
    operation({
      id: `${id}.update`, summary: `Change ${words}`, method: 'PUT', path: `${base}/:name`, policy: rules.change, permit: 'object', body: bodies[kind],
      handler: async ctx => {
        refuseReadOnly(ctx.body);
        const n = await findNamespace(d.rt.db, ctx);
        const row = await updateItem(d.rt.db, await find(ctx, n), ctx.body.name, definitionOf(ctx.body));
        if (!row) throw doubleItem(kind, ctx.body.name, n.namespace);
        return view(row, n);
      },
    }),
    operation({
      id: `${id}.delete`, summary: `Delete ${words}`, method: 'DELETE', path: `${base}/:name`, policy: rules.remove, permit: 'object', status: 204,
      handler: async ctx => {
        const n = await findNamespace(d.rt.db, ctx);
        refuseProtected(n, `${kind} ${nameIn(ctx)}`);
        if (await removeItems(d.rt.db, n.id, kind, nameIn(ctx)) === 0) throw absentItem(kind, nameIn(ctx), n.namespace);
      },
    }),
    operation({
      id: `${id}.clear`, summary: `Delete all ${plural} of a namespace`, method: 'DELETE', path: base, policy: rules.clear, permit: 'object', status: 204,
      handler: async ctx => {
        const n = await findNamespace(d.rt.db, ctx);
        refuseProtected(n, `namespace ${n.namespace}`);
        await removeItems(d.rt.db, n.id, kind);
      },
    }),
  ];
}

/** Tags are created by their path, or all at once. */
const tagRoutes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'metadefs.tags.create', summary: 'Create a tag', method: 'POST', path: '/metadefs/namespaces/:namespace/tags/:name', policy: 'add_metadef_tag', permit: 'object', status: 201,
    handler: async ctx => {
      const n = await findNamespace(d.rt.db, ctx);
      const row = await insertItem(d.rt.db, n.id, 'tag', nameIn(ctx), {});
      if (!row) throw doubleItem('tag', nameIn(ctx), n.namespace);
      return tagView(row);
    },
  }),
  operation({
    id: 'metadefs.tags.replace', summary: 'Replace the tags of a namespace, or add to them', method: 'POST', path: '/metadefs/namespaces/:namespace/tags', policy: 'add_metadef_tags', permit: 'object', body: Tags, status: 201,
    handler: ctx => transaction(d.rt.db, async trx => {
      const n = await findNamespace(trx, ctx);
      const append = String(ctx.request.headers['x-openstack-append'] ?? '').toLowerCase() === 'true';
      if (!append) await removeItems(trx, n.id, 'tag');
      for (const { name } of ctx.body.tags) if (!await insertItem(trx, n.id, 'tag', name, {})) throw doubleItem('tag', name, n.namespace);
      return { tags: ctx.body.tags.map(({ name }) => ({ name })) };
    }),
  }),
];
