import { expect, test } from 'vitest';
import { outcomeOf, reasonFor } from './outcome.ts';

test('what stestr prints is counted', () => {
  expect(outcomeOf([
    '{1} tempest.api.identity.v3.test_tokens.TokensV3Test.test_create_token [0.26s] ... ok', '{0} tempest.a.B.test_c[id-1f1a6d2c,negative] [0.1s] ... FAILED', '{0} tempest.a.B.test_d ... SKIPPED: Skip because', '{0} setUpClass (tempest.a.C) [0.0s] ... FAILED', 'Captured traceback:', 'Server building... 100% complete{0} novaclient.a.B.test_e [1.5s] ... ok', '',
  ].join('\n'))).toEqual({ passed: ['tempest.api.identity.v3.test_tokens.TokensV3Test.test_create_token', 'novaclient.a.B.test_e'], failed: ['tempest.a.B.test_c', 'setUpClass (tempest.a.C)'], skipped: ['tempest.a.B.test_d'] });
});
test('a reason is a test\'s own, or that of what it is part of', () => {
  const expected = { 'a.b.C.test_d': 'of the test', 'a.b.*': 'of the module' };
  expect(['a.b.C.test_d', 'a.b.C.test_e', 'a.bb.C.test_d', 'a.b'].map(name => reasonFor(name, expected))).toEqual(['of the test', 'of the module', undefined, undefined]);
});
