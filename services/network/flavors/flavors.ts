import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, id, text, type Collection } from '../rest/collection.ts';
import { flag, name, uuid } from '../rest/shapes.ts';

interface FlavorRow { id: string; name: string; description: string | null; service_type: string; enabled: boolean; service_profiles: string[] }
export const Flavors: Collection<FlavorRow> = {
  name: 'flavor', plural: 'flavors', fault: 'Flavor',
  select: trx => trx('network_flavors as t').select('t.*', trx.raw('array(select b.service_profile_id::text from flavor_service_profiles b where b.flavor_id = t.id order by 1) as service_profiles')),
  columns: { id: id('t.id'), name: text('t.name'), description: text('t.description'), service_type: text('t.service_type'), enabled: bool('t.enabled') },
  visible: () => undefined,
  target: () => ({}),
  view: row => ({ id: row.id, name: row.name, description: row.description, service_type: row.service_type, enabled: row.enabled, service_profiles: row.service_profiles }),
};

interface ServiceProfileRow { id: string; description: string | null; driver: string; metainfo: string; enabled: boolean; flavors: string[] }
export const ServiceProfiles: Collection<ServiceProfileRow> = {
  name: 'service_profile', plural: 'service_profiles', fault: 'Service Profile', absent: { kind: 'ServiceProfileNotFound' },
  select: trx => trx('service_profiles as t').select('t.*', trx.raw('array(select b.flavor_id::text from flavor_service_profiles b where b.service_profile_id = t.id order by 1) as flavors')),
  columns: { id: id('t.id'), description: text('t.description'), driver: text('t.driver'), metainfo: text('t.metainfo'), enabled: bool('t.enabled') },
  visible: query => void query.whereRaw('false'),
  target: () => ({}),
  view: row => ({ id: row.id, description: row.description, driver: row.driver, enabled: row.enabled, metainfo: row.metainfo, flavors: row.flavors }),
};

const words = z.string().max(1024).nullable();
const flavor = { name: name.optional(), description: words.optional(), enabled: flag.optional() };
/** The services that neutron has plugins for here. */
const serviceType = z.literal(['CORE', 'FLAVORS', 'L3_ROUTER_NAT']);
export const CreateFlavor = shape('FlavorCreate', z.strictObject({ flavor: z.strictObject({ ...flavor, service_type: serviceType }) }));
export const UpdateFlavor = shape('FlavorUpdate', z.strictObject({ flavor: z.strictObject(flavor) }));
const profile = z.strictObject({ description: words.optional(), driver: words.transform(v => v ?? '').optional(), metainfo: z.string().max(4096).nullable().transform(v => v ?? '').optional(), enabled: flag.optional() });
export const ServiceProfileBody = shape('ServiceProfile', z.strictObject({ service_profile: profile }));
export const BindingBody = shape('FlavorServiceProfile', z.strictObject({ service_profile: z.strictObject({ id: uuid }) }));
