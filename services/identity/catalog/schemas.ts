import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, description, name, open } from '../shapes.ts';

const regionId = z.string().max(255);
export const RegionCreate = shape('RegionCreate', z.object({ region: z.looseObject({ id: regionId.nullable().optional(), description: description.optional(), parent_region_id: regionId.nullable().optional() }) }));
export const RegionUpdate = shape('RegionUpdate', z.strictObject({ region: changes({ description: description.optional(), parent_region_id: regionId.nullable().optional() }) }));

const service = { type: z.string().min(1).max(255), enabled: z.boolean().optional(), name: name.optional() };
export const ServiceCreate = shape('ServiceCreate', z.object({ service: open(service) }));
export const ServiceUpdate = shape('ServiceUpdate', z.object({ service: changes({ ...service, type: service.type.optional() }) }));

const iface = z.enum(['admin', 'internal', 'public']);
const url = z.string().max(225).regex(/^[a-zA-Z0-9+.-]+:.+/);
const endpoint = { enabled: z.boolean().optional(), region_id: regionId.nullable().optional(), region: regionId.nullable().optional(), name: z.string().nullable().optional(), description: description.optional() };
export const EndpointCreate = shape('EndpointCreate', z.strictObject({ endpoint: open({ ...endpoint, interface: iface, service_id: z.string(), url }) }));
export const EndpointUpdate = shape('EndpointUpdate', z.strictObject({ endpoint: changes({ ...endpoint, interface: iface.optional(), service_id: z.string().optional(), url: url.optional() }) }));

const filters = z.record(z.string(), z.any());
export const EndpointGroupCreate = shape('EndpointGroupCreate', z.object({ endpoint_group: open({ name, description: description.optional(), filters }) }));
export const EndpointGroupUpdate = shape('EndpointGroupUpdate', z.object({ endpoint_group: changes({ name: name.optional(), description: description.optional(), filters: filters.optional() }) }));
