import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp } from './app.ts';
import { wiringPlans } from './wiring/tasks.ts';

await runService('network', { app: makeApp, facts: tokenFacts, plans: wiringPlans });
