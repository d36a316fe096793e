import { novaDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { routes as backups } from './backups/routes.ts';
import { routes as schedules } from './schedules/routes.ts';
import { versionRoutes } from './versions/routes.ts';

/**
 * What Cumulet does with backups beyond Cinder's API: verification, schedules, and making the catalogue anew from what lies on a target. It has its own
 * catalogue entry, so that stock responses stay as they are.
 */
export const makeApp = (rt: Runtime): Promise<FastifyInstance> => createApp(rt, { name: 'backupcatalogue', title: 'Cumulet catalogue of backups', prefixes: ['/v1'], dress: novaDress, operations: [...versionRoutes(), ...backups(rt), ...schedules(rt)] });
