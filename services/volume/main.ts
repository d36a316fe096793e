import { tokenFacts } from '@cumulet/identity';
import { runService } from '@cumulet/service';
import { makeApp, plans } from './index.ts';

await runService('volume', { facts: tokenFacts, plans, app: makeApp });
