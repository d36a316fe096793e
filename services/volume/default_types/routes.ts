import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { typeNotFound } from '../faults.ts';
import { typeByRef } from '../types/choose.ts';

const Body = shape('DefaultType', z.strictObject({ default_type: z.strictObject({ volume_type: z.string().max(255).min(1) }) }));
interface Row { project_id: string; type_id: string }
const view = (row: Row) => ({ project_id: row.project_id, volume_type_id: row.type_id });

/** The default volume type of a project (3.62). */
export const routes = (rt: Runtime): Operation[] => [
  operation({ id: 'default_types.list', summary: 'List default types', method: 'GET', path: '/default-types', since: '3.62', policy: 'volume_extension:default_get_all', handler: async () => ({ default_types: (await rt.db('volume_default_types').orderBy('project_id') as Row[]).map(view) }) }),
  operation({
    id: 'default_types.show', summary: 'Show the default type of a project', method: 'GET', path: '/default-types/:project', since: '3.62', policy: 'volume_extension:default_get',
    handler: async ctx => { const row: Row | undefined = await rt.db('volume_default_types').where({ project_id: ctx.params['project'] ?? '' }).first(); if (!row) throw new NotFound(`Default type for project ${ctx.params['project']} not found.`); return { default_type: view(row) }; },
  }),
  operation({
    id: 'default_types.set', summary: 'Set the default type of a project', method: 'PUT', path: '/default-types/:project', since: '3.62', policy: 'volume_extension:default_set_or_update', body: Body, status: 200,
    handler: async ctx => {
      const ref = ctx.body.default_type.volume_type;
      const type = await typeByRef(rt.db, ref, undefined);
      if (!type) throw typeNotFound(ref);
      const row: Row = { project_id: ctx.params['project'] ?? '', type_id: type.id };
      await rt.db('volume_default_types').insert(row).onConflict('project_id').merge({ type_id: type.id });
      return { default_type: view(row) };
    },
  }),
  operation({
    id: 'default_types.unset', summary: 'Forget the default type of a project', method: 'DELETE', path: '/default-types/:project', since: '3.62', policy: 'volume_extension:default_unset',
    handler: async ctx => { await rt.db('volume_default_types').where({ project_id: ctx.params['project'] ?? '' }).delete(); return new Reply(204); },
  }),
];
