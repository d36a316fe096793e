export { createIdentityApp, operations } from './app.ts';
export { tokenFacts } from './assignments/effective.ts';
export { bootstrap, type Bootstrapped, type Seed } from './bootstrap.ts';
export { type Identity } from './identity.ts';
export { unifiedLimits } from './limits/store.ts';
export { endpointUrl, namesOf, projectExists } from './names.ts';
export { UsersFileError } from './users_file.ts';
