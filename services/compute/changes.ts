import { Versions, type Change } from '@cumulet/wire';
import { changes as interfaces } from './attachments/interfaces.ts';
import { changes as volumes } from './attachments/volumes.ts';
import { changes as image } from './actions/image.ts';
import { changes as move } from './actions/move.ts';
import { changes as power } from './actions/power.ts';
import { changes as rebuild } from './actions/rebuild.ts';
import { changes as shelve } from './actions/shelve.ts';
import { changes as history } from './details/history.ts';
import { changes as more } from './details/more.ts';
import { changes as consoles } from './consoles/routes.ts';
import { changes as events } from './events/routes.ts';
import { changes as flavors } from './flavors/schemas.ts';
import { changes as aggregates } from './aggregates/routes.ts';
import { changes as groups } from './groups/routes.ts';
import { changes as hypervisors } from './hosts/hypervisors.ts';
import { changes as services } from './hosts/services.ts';
import { changes as keypairs } from './keypairs/schemas.ts';
import { changes as migrations } from './migrations/routes.ts';
import { changes as limits } from './quotas/absolute.ts';
import { changes as quotas } from './quotas/routes.ts';
import { changes as servers } from './servers/changes.ts';
import { changes as usage } from './usage/routes.ts';

/** Everything that a microversion of compute changed, each where it belongs. */
const everywhere: Change[] = [{ at: '2.102', trait: 'strict queries', why: 'unknown query parameters are refused everywhere' }];
const all: Change[] = [...everywhere, ...consoles, ...servers, ...power, ...shelve, ...rebuild, ...image, ...volumes, ...interfaces, ...history, ...flavors, ...keypairs, ...services, ...hypervisors, ...quotas, ...limits, ...move, ...more, ...events, ...aggregates, ...groups, ...migrations, ...usage];
export const versions = new Versions('2.1', '2.104', all);
