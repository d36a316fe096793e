import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp } from './app.ts';
import { plans } from './work.ts';

await runService('image', { facts: tokenFacts, plans, app: makeApp });
