import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp } from './app.ts';

await runService('backupcatalogue', { app: makeApp, facts: tokenFacts });
