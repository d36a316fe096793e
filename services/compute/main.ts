import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp } from './app.ts';
import { computePlans } from './plans/index.ts';

await runService('compute', { app: makeApp, facts: tokenFacts, plans: computePlans });
