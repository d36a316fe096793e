export { makeApp } from './app.ts';
export { hasRoom, listProviders, type Amounts as Resources, type Provider } from './providers/store.ts';
