import { brokenReference, duplicateOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, Fault, newId, NotFound } from '@cumulet/wire';
import { AnyQuery, fieldsOf, find, list, pick, writtenView } from '../rest/collection.ts';
import { reading } from '../rest/reading.ts';
import { BindingBody, CreateFlavor, Flavors, ServiceProfileBody, ServiceProfiles, UpdateFlavor } from './flavors.ts';

/** What an administrator names for users to choose. The one router service here has no drivers to choose from: a profile carries its metainfo. */
export function flavorRoutes(rt: Runtime): Operation[] {
  const flavorOf = (ctx: Context) => find(rt.db, ctx, Flavors, ctx.params['id'] ?? '');
  const profileOf = (ctx: Context, id = ctx.params['id'] ?? '') => find(rt.db, ctx, ServiceProfiles, id);
  const given = (fields: object) => Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined));
  return [
    ...reading(rt, Flavors, { path: '/flavors', one: 'a flavor of a network service', many: 'flavors of network services', hidden: 'flavors' }),
    operation({
      id: 'flavors.create', summary: 'Create a flavor of a network service', method: 'POST', path: '/flavors', policy: 'create_flavor', body: CreateFlavor, status: 201,
      handler: async ctx => {
        const id = newId();
        await rt.db('network_flavors').insert({ id, description: '', ...given(ctx.body.flavor) });
        return { flavor: await writtenView(rt.db, ctx, Flavors, id) };
      },
    }),
    operation({
      id: 'flavors.update', summary: 'Update a flavor of a network service', method: 'PUT', path: '/flavors/:id', policy: 'update_flavor', body: UpdateFlavor,
      handler: async ctx => {
        const { id } = await flavorOf(ctx as Context);
        const change = given(ctx.body.flavor);
        if (Object.keys(change).length > 0) await rt.db('network_flavors').where({ id }).update(change);
        return { flavor: await writtenView(rt.db, ctx, Flavors, id) };
      },
    }),
    operation({
      id: 'flavors.delete', summary: 'Delete a flavor of a network service', method: 'DELETE', path: '/flavors/:id', policy: 'delete_flavor', status: 204,
      handler: async ctx => {
        await rt.db('network_flavors').where({ id: (await flavorOf(ctx as Context)).id }).delete();
        return new Reply(204);
      },
    }),
    operation({
      id: 'service_profiles.list', summary: 'List service profiles', method: 'GET', path: '/service_profiles', policy: { anyone: 'as upstream a list is filtered by get_service_profile, not refused' }, query: AnyQuery,
      handler: ctx => (ctx.allows('get_service_profile') ? list(rt.db, ctx, ServiceProfiles, rt.settings.http.maxLimit) : { service_profiles: [] }),
    }),
    operation({
      id: 'service_profiles.show', summary: 'Show a service profile', method: 'GET', path: '/service_profiles/:id', policy: 'get_service_profile', query: AnyQuery,
      handler: async ctx => ({ service_profile: pick(ServiceProfiles.view(await profileOf(ctx as Context)), fieldsOf(ctx.query)) }),
    }),
    operation({
      id: 'service_profiles.create', summary: 'Create a service profile', method: 'POST', path: '/service_profiles', policy: 'create_service_profile', body: ServiceProfileBody, status: 201,
      handler: async ctx => {
        const b = ctx.body.service_profile;
        if (b.driver) throw noDriver(b.driver);
        if (!b.metainfo) throw new BadRequest('Invalid input for operation: Service Profile needs either a driver or metainfo.', { kind: 'ServiceProfileEmpty' });
        const id = newId();
        await rt.db('service_profiles').insert({ id, description: '', ...given(b) });
        return { service_profile: await writtenView(rt.db, ctx, ServiceProfiles, id) };
      },
    }),
    operation({
      id: 'service_profiles.update', summary: 'Update a service profile', method: 'PUT', path: '/service_profiles/:id', policy: 'update_service_profile', body: ServiceProfileBody,
      handler: async ctx => {
        const b = ctx.body.service_profile;
        if (b.driver) throw noDriver(b.driver);
        const { id } = await profileOf(ctx as Context);
        return transaction(rt.db, async trx => {
          await trx('service_profiles').where({ id }).forUpdate().first('id');
          if (await trx('flavor_service_profiles').where({ service_profile_id: id }).first('flavor_id')) throw inUse(id);
          const change = given(b);
          if (Object.keys(change).length > 0) await trx('service_profiles').where({ id }).update(change);
          return { service_profile: await writtenView(trx, ctx, ServiceProfiles, id) };
        });
      },
    }),
    operation({
      id: 'service_profiles.delete', summary: 'Delete a service profile', method: 'DELETE', path: '/service_profiles/:id', policy: 'delete_service_profile', status: 204,
      handler: async ctx => {
        const { id } = await profileOf(ctx as Context);
        await transaction(rt.db, async trx => { await trx('service_profiles').where({ id }).delete(); }).catch((error: unknown) => { throw brokenReference(error) === undefined ? error : inUse(id); });
        return new Reply(204);
      },
    }),
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

const noDriver = (driver: string) => new NotFound(`Service Profile driver ${driver} could not be found.`, { kind: 'ServiceProfileDriverNotFound' });
const inUse = (id: string) => new Conflict(`Service Profile ${id} is used by some service instance.`, { kind: 'ServiceProfileInUse' });
const notBound = (profile: string, flavor: string) => new NotFound(`Service Profile ${profile} is not associated with flavor ${flavor}.`, { kind: 'FlavorServiceProfileBindingNotFound' });
