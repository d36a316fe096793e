import { brokenReference, transaction, type Trx } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Forbidden, newHexId } from '@cumulet/wire';
import { absent, duplicate, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list } from '../listing.ts';
import { Filters, split } from '../shapes.ts';
import { RegionCreate, RegionUpdate } from './schemas.ts';
import { region as find, type RegionRow } from './store.ts';
import { regionView } from './view.ts';

const own = ['description', 'parent_region_id'] as const;

export async function createRegion(trx: Trx, body: Readonly<Record<string, unknown>>, id: string): Promise<RegionRow> {
  const { known, extra } = split(body, own);
  const parent = (known.parent_region_id as string | null | undefined) ?? null;
  if (parent !== null && !(await find(trx, parent))) throw absent('region', parent);
  const [made] = await unlessDuplicate(trx('regions').insert({ id, description: String(known.description ?? ''), parent_region_id: parent, extra }).returning<RegionRow[]>('*'), () => duplicate('region', `Duplicate ID, ${id}`));
  return made as RegionRow;
}

export function regionRoutes({ db, settings }: Identity): Operation[] {
  const found = async (ctx: Context): Promise<RegionRow> => {
    const id = ctx.params['region_id'] as string;
    const region = await find(db, id);
    if (!region) throw absent('region', id);
    return region;
  };
  return [
    operation({
      id: 'regions.list', summary: 'List regions', method: 'GET', path: '/regions', policy: 'identity:list_regions', query: Filters,
      async handler(ctx) {
        const page = await list<RegionRow>(ctx, db('regions').select('regions.*'), { filters: { parent_region_id: 'regions.parent_region_id' }, order: 'regions.id' }, settings.http.maxLimit);
        return { regions: page.rows.map(r => regionView(ctx, r)), links: page.links };
      },
    }),
    operation({
      id: 'regions.create', summary: 'Create a region', method: 'POST', path: '/regions', policy: 'identity:create_region', status: 201, body: RegionCreate,
      handler: async ctx => ({ region: regionView(ctx, await createRegion(db, ctx.body.region, ctx.body.region.id || newHexId())) }),
    }),
    operation({ id: 'regions.show', summary: 'Show a region', method: 'GET', path: '/regions/:region_id', policy: 'identity:get_region', handler: async ctx => ({ region: regionView(ctx, await found(ctx)) }) }),
    operation({
      id: 'regions.create_named', summary: 'Create a region of a given id', method: 'PUT', path: '/regions/:region_id', policy: 'identity:create_region', status: 201, body: RegionCreate,
      async handler(ctx) {
        const id = ctx.params['region_id'] as string;
        if (ctx.body.region.id && ctx.body.region.id !== id) throw new BadRequest(`Conflicting region IDs specified: "${id}" != "${ctx.body.region.id}"`);
        return { region: regionView(ctx, await createRegion(db, ctx.body.region, id)) };
      },
    }),
    operation({
      id: 'regions.update', summary: 'Update a region', method: 'PATCH', path: '/regions/:region_id', policy: 'identity:update_region', body: RegionUpdate,
      async handler(ctx) {
        const region = await found(ctx);
        if (ctx.body.region['id'] !== undefined && ctx.body.region['id'] !== region.id) throw new BadRequest('Cannot change ID');
        const { known, extra } = split(ctx.body.region, own);
        const [made] = await transaction(db, async trx => {
          if (typeof known.parent_region_id === 'string') await refuseCircle(trx, region.id, known.parent_region_id);
          return trx('regions').where({ id: region.id }).update({ ...(known.description === undefined ? {} : { description: String(known.description ?? '') }), ...(known.parent_region_id === undefined ? {} : { parent_region_id: known.parent_region_id }), extra: { ...region.extra, ...extra } }).returning<RegionRow[]>('*');
        });
        if (!made) throw absent('region', region.id);
        return { region: regionView(ctx, made) };
      },
    }),
    operation({
      id: 'regions.delete', summary: 'Delete a region and those below it', method: 'DELETE', path: '/regions/:region_id', policy: 'identity:delete_region',
      async handler(ctx) {
        const region = await found(ctx);
        try {
          await db.raw('with recursive below (id) as (select :id::text union select r.id from regions r join below b on r.parent_region_id = b.id) delete from regions where id in (select id from below)', { id: region.id });
        } catch (error) {
          if (brokenReference(error)) throw new Forbidden(`Unable to delete region ${region.id} because it or its child regions have associated endpoints.`);
          throw error;
        }
      },
    }),
  ];
}

async function refuseCircle(trx: Trx, id: string, parent: string): Promise<void> {
  for (let above: string | null = parent; above !== null;) {
    if (above === id) throw new BadRequest(`The specified parent region ${parent} would create a circular region hierarchy.`);
    const row: RegionRow | undefined = await find(trx, above);
    if (!row) throw absent('region', above);
    above = row.parent_region_id;
  }
}
