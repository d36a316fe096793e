import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp } from './app.ts';

await runService('placement', { app: makeApp, facts: tokenFacts });
