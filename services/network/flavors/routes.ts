import { duplicateOf, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, Fault, newId, NotFound } from '@cumulet/wire';
import { AnyQuery, fieldsOf, find, given, list, pick, writtenView } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { BindingBody, CreateFlavor, Flavors, ServiceProfileBody, ServiceProfiles, UpdateFlavor } from './flavors.ts';

/** What an administrator names for users to choose. The one router service here has no drivers to choose from: a profile carries its metainfo. */
export function flavorRoutes(rt: Runtime): Operation[] {
  const flavorOf = (ctx: Context) => find(rt.db, ctx, Flavors, ctx.params['id'] ?? '');
  const profileOf = (ctx: Context, id = ctx.params['id'] ?? '') => find(rt.db, ctx, ServiceProfiles, id);
  const flavors = operationsOf(rt, Flavors, { path: '/flavors', one: 'a flavor of a network service', many: 'flavors of network services' });
  const profiles = operationsOf(rt, ServiceProfiles, { path: '/service_profiles', one: 'a service profile', many: 'service profiles' });
  return [
    ...flavors.reading(),
    flavors.creating(CreateFlavor, {
      given: body => [body.flavor],
      async insert(trx, ctx, b) {
        ctx.permit({});
        const id = newId();
        await trx('network_flavors').insert({ id, description: '', ...given(b) });
        return id;
      },
    }),
    flavors.updating(UpdateFlavor, { change: (trx, _, { id }, { flavor }) => change(trx, 'network_flavors', id, flavor) }),
    flavors.deleting({ remove: (trx, { id }) => trx('network_flavors').where({ id }).delete() }),
    operation({
      id: 'service_profiles.list', summary: 'List service profiles', method: 'GET', path: '/service_profiles', policy: { anyone: 'as upstream a list is filtered by get_service_profile, not refused' }, query: AnyQuery,
      handler: ctx => (ctx.allows('get_service_profile') ? list(rt.db, ctx, ServiceProfiles, rt.settings.http.maxLimit) : { service_profiles: [] }),
    }),
    operation({
      id: 'service_profiles.show', summary: 'Show a service profile', method: 'GET', path: '/service_profiles/:id', policy: 'get_service_profile', query: AnyQuery,
      handler: async ctx => ({ service_profile: pick(ServiceProfiles.view(await profileOf(ctx as Context)), fieldsOf(ctx.query)) }),
    }),
    profiles.creating(ServiceProfileBody, {
      given: body => [body.service_profile],
      async insert(trx, ctx, b) {
        ctx.permit({});
        if (b.driver) throw noDriver(b.driver);
        if (!b.metainfo) throw new BadRequest('Invalid input for operation: Service Profile needs either a driver or metainfo.', { kind: 'ServiceProfileEmpty' });
        const id = newId();
        await trx('service_profiles').insert({ id, description: '', ...given(b) });
        return id;
      },
    }),
    profiles.updating(ServiceProfileBody, {
      async change(trx, _, { id }, { service_profile: b }) {
        if (b.driver) throw noDriver(b.driver);
        await trx('service_profiles').where({ id }).forUpdate().first('id');
        if (await trx('flavor_service_profiles').where({ service_profile_id: id }).first('flavor_id')) throw inUse(id);
        await change(trx, 'service_profiles', id, b);
      },
    }),
    profiles.deleting({ remove: (trx, { id }) => trx('service_profiles').where({ id }).delete(), inUse: ({ id }) => inUse(id) }),
    operation({
      id: 'flavors.add_profile', summary: 'Offer a service profile by a flavor', method: 'POST', path: '/flavors/:id/service_profiles', policy: 'create_flavor_service_profile', body: BindingBody, status: 201,
      handler: async ctx => {
        const { id: flavor } = await flavorOf(ctx as Context);
        const { id: profile } = await profileOf(ctx as Context, ctx.body.service_profile.id);
        await rt.db('flavor_service_profiles').insert({ flavor_id: flavor, service_profile_id: profile }).catch((error: unknown) => {
          throw duplicateOf(error) === undefined ? error : new Conflict(`Service Profile ${profile} is already associated with flavor ${flavor}.`, { kind: 'FlavorServiceProfileBindingExists' });
        });
        // What was made is shown as the flavor that it belongs to (as upstream).
        return { service_profile: await writtenView(rt.db, ctx, Flavors, flavor) };
      },
    }),
    operation({
      id: 'flavors.remove_profile', summary: 'Offer a service profile by a flavor no longer', method: 'DELETE', path: '/flavors/:id/service_profiles/:profile_id', policy: 'delete_flavor_service_profile', status: 204,
      handler: async ctx => {
        const { id: flavor } = await flavorOf(ctx as Context);
        const { id: profile } = await profileOf(ctx as Context, ctx.params['profile_id']);
        const gone = await rt.db('flavor_service_profiles').where({ flavor_id: flavor, service_profile_id: profile }).delete();
        if (gone === 0) throw notBound(profile, flavor);
        return new Reply(204);
      },
    }),
    operation({
      id: 'flavors.next_provider', summary: 'The provider that a flavor would choose', method: 'GET', path: '/flavors/:id/next_providers', policy: 'get_flavor',
      handler: async ctx => {
        const flavor = await flavorOf(ctx as Context);
        const [first] = flavor.service_profiles;
        if (first === undefined) throw notBound('', flavor.id);
        const profile: { enabled: boolean; driver: string } | undefined = await rt.db('service_profiles').where({ id: first }).first('enabled', 'driver');
        if (profile?.enabled === false) throw new Fault(503, 'Service Profile is not enabled.', { kind: 'ServiceProfileDisabled' });
        throw noDriver(profile?.driver ?? '');
      },
    }),
  ];
}

async function change(trx: Trx, table: string, id: string, fields: object): Promise<void> {
  if (Object.keys(given(fields)).length > 0) await trx(table).where({ id }).update(given(fields));
}
const noDriver = (driver: string) => new NotFound(`Service Profile driver ${driver} could not be found.`, { kind: 'ServiceProfileDriverNotFound' });
const inUse = (id: string) => new Conflict(`Service Profile ${id} is used by some service instance.`, { kind: 'ServiceProfileInUse' });
const notBound = (profile: string, flavor: string) => new NotFound(`Service Profile ${profile} is not associated with flavor ${flavor}.`, { kind: 'FlavorServiceProfileBindingNotFound' });
