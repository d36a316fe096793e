export { glanceDress, keystoneDress, neutronDress, novaDress, placementDress, type Dress } from './dress.ts';
export { Counter, Gauge, Histogram, processMetrics } from './metrics.ts';
export { openapi } from './openapi.ts';
export { operation, Reply, type Context, type Method, type Operation, type OperationSpec, type Target } from './operation.ts';
export { projectInPath } from './request.ts';
export { createService } from './service.ts';
export type { Gate, ServiceSpec } from './spec.ts';
