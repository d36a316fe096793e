export { createApp, type AppOptions } from './app.ts';
export { runService } from './main.ts';
export { createLog, openRuntime, serviceUrl, type Runtime, type RuntimeOptions } from './runtime.ts';
export { type Work } from './work.ts';
