import type { AnyPlan } from '@cumulet/tasks';
import { hostPlans } from '@cumulet/volume';
import { consolePlans } from './console.ts';
import { createPlans } from './create.ts';
import { deletePlans } from './delete.ts';
import { evacuatePlans } from './evacuate.ts';
import { livePlans } from './live.ts';
import { movePlans } from './move.ts';
import { plugPlans } from './plug.ts';
import { powerPlans } from './power.ts';
import { rebuildPlans } from './rebuild.ts';
import { rescuePlans } from './rescue.ts';
import { resizePlans } from './resize.ts';
import { softDeletePlans } from './soft_delete.ts';
import { snapshotPlans } from './snapshot.ts';
import { sourcePlans } from './source.ts';
import { volumePlans } from './volumes.ts';

export const computePlans: readonly AnyPlan[] = [...createPlans, ...deletePlans, ...softDeletePlans, ...powerPlans, ...snapshotPlans, ...rescuePlans, ...rebuildPlans, ...resizePlans, ...sourcePlans, ...movePlans, ...livePlans, ...evacuatePlans, ...plugPlans, ...volumePlans, ...consolePlans, ...hostPlans];
