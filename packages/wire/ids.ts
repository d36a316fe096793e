import { randomUUID } from 'node:crypto';
import { z } from 'zod';

/** A new id in the form that nova, cinder, glance and neutron give: 36 characters with dashes. */
export const newId = (): string => randomUUID();
/** A new id in the form that keystone gives to users, projects and roles: 32 hex digits. */
export const newHexId = (): string => randomUUID().replaceAll('-', '');
/** A request id as every service prints it. */
export const newRequestId = (): string => `req-${randomUUID()}`;

const dashed = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const hex = /^[0-9a-f]{32}$/i;

/** What oslo.utils takes for uuid-like: with or without dashes, any version digit (zod's own uuid is stricter than OpenStack). */
export const isUuidLike = (text: unknown): text is string => typeof text === 'string' && (dashed.test(text) || hex.test(text));
/** True for the form that Postgres' uuid type gives back. Look-ups by an id that is not one need no query: nothing has it. */
export const isUuid = (text: unknown): text is string => typeof text === 'string' && dashed.test(text);

/** The form with dashes of a uuid-like text, as Postgres gives it back. */
export const withDashes = (id: string): string => id.toLowerCase().replaceAll('-', '').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

export const uuid = z.string().refine(isUuidLike, { params: { format: 'uuid' } });
/** Ids that keystone gives or an operator chose: `default`, 32 hex digits. */
export const identityId = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/);
