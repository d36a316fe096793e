export { allowedAddress, passesFilter, type FetchRules } from './rules.ts';
export { FetchError, openFetcher, type Fetched, type Fetcher } from './fetcher.ts';
