import { runService } from '@cumulet/service';
import { createIdentityApp } from './app.ts';
import { tokenFacts } from './assignments/effective.ts';

await runService('identity', { facts: tokenFacts, app: createIdentityApp });
