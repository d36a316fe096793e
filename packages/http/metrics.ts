import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export { Counter, Gauge, Histogram };

/** Metrics of the process, shared by every service in it: made at the first use. */
let shared: Registry | undefined;
export function processMetrics(): Registry {
  if (!shared) {
    shared = new Registry();
    collectDefaultMetrics({ register: shared, prefix: 'cumulet_' });
  }
  return shared;
}

export interface ServiceMetrics {
  observe(operation: string, method: string, status: number, ms: number): void;
  /** The Prometheus text of this service and its process. */
  text(): Promise<string>;
}
export function serviceMetrics(service: string): ServiceMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  const duration = new Histogram({
    name: 'cumulet_http_request_seconds', help: 'Time to answer a request, by operation', labelNames: ['operation', 'method', 'status'] as const,
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30], registers: [registry],
  });
  return {
    observe: (operation, method, status, ms) => duration.observe({ operation, method, status }, ms / 1000),
    text: async () => `${await registry.metrics()}\n${await processMetrics().metrics()}`,
  };
}
