import { operation, type Operation } from '@cumulet/http';
import { documents } from './documents.ts';

const policy = { anyone: 'as upstream: schemas are the same for all' };

export const routes = (more: Readonly<Record<string, Record<string, unknown>>> = {}): Operation[] => Object.entries({ ...documents, ...more }).map(([name, document]) => operation({
  id: `schemas.${name.replaceAll('/', '_')}`, summary: `The schema of ${name}`, method: 'GET', path: `/schemas/${name}`, policy, handler: () => document,
}));
