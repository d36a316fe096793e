import { expect, test } from 'vitest';
import { z } from 'zod';
import { before, invalidInput, shape, Versions, without, type Change } from './index.ts';

const Create = shape('ServerCreate', z.strictObject({ server: z.strictObject({ name: z.string(), host: z.string().nullable(), tags: z.array(z.string()).optional() }) }));
const Server = shape('Server', z.any());
const List = shape('ServerList', z.any(), { servers: Server });
const changes: Change[] = [
  { at: '2.52', shape: 'ServerCreate', why: 'tags at boot', was: before(['server'], 'tags') },
  { at: '2.60', shape: 'ServerCreate', why: 'host named', was: before(['server'], 'host'), up: (b: { server: object }) => ({ server: { ...b.server, host: null } }) },
  { at: '2.9', shape: 'Server', why: 'locked is shown', down: without('locked') },
  { at: '2.26', shape: 'Server', why: 'tags are shown', down: without('tags') },
  { at: '2.30', trait: 'force', why: 'force' },
];
const v = new Versions('2.1', '2.96', changes);

test('requests are lifted and replies lowered', () => {
  expect(v.at('2.1').request(Create).parse({ server: { name: 'a' } })).toEqual({ server: { name: 'a', host: null } });
  expect(v.at('2.1').request(Create).safeParse({ server: { name: 'a', tags: [] } }).success).toBe(false);
  expect(v.at('2.52').request(Create).parse({ server: { name: 'a', tags: [] } })).toEqual({ server: { name: 'a', tags: [], host: null } });
  expect(v.at('2.60').request(Create).safeParse({ server: { name: 'a' } }).success).toBe(false);
  expect(v.at('2.9').reply(List, { servers: [{ id: 1, locked: false, tags: [] }] })).toEqual({ servers: [{ id: 1, locked: false }] });
  expect(v.at('2.1').reply(List, { servers: [{ id: 1, locked: false, tags: [] }] })).toEqual({ servers: [{ id: 1 }] });
  expect(v.at('2.29').has('force')).toBe(false);
  expect(v.at('2.30').has('force')).toBe(true);
});
test('a version is picked as upstream does', () => {
  expect(v.pick(undefined).version).toBe('2.1');
  expect(v.pick('latest').version).toBe('2.96');
  expect(() => v.pick('2.999')).toThrow('Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.96.');
  for (const bad of ['abc', '2', '2.01', '2.1.1', '', '02.1']) expect(() => v.pick(bad)).toThrow(/invalid format/);
});
test('a service may offer less, as an older release does', () => {
  const older = v.upTo('2.30');
  expect(older.max).toBe('2.30');
  expect(older.pick('latest').request(Create).safeParse({ server: { name: 'a', tags: [] } }).success).toBe(false);
  expect(older.pick('latest').reply(List, { servers: [{ id: 1, locked: false, tags: [] }] })).toEqual({ servers: [{ id: 1, locked: false, tags: [] }] });
  expect(() => older.pick('2.52')).toThrow('maximum is 2.30');
  expect(v.upTo(undefined)).toBe(v);
  for (const none of ['2.97', '1.0'] as const) expect(() => v.upTo(none)).toThrow(RangeError);
});
test('complaints sound like the JSON schema validator', () => {
  const say = (body: unknown) => { const r = Create.newest.safeParse(body); return r.success ? '' : invalidInput(r.error, body, 'body'); };
  expect(say({ server: {} })).toBe("Invalid input for field/attribute server. Value: {}. 'name' is a required property");
  expect(say({})).toBe("'server' is a required property");
  expect(say({ server: { name: 'x', host: null, zzz: 1 } })).toBe("Invalid input for field/attribute server. Value: {'name': 'x', 'host': None, 'zzz': 1}. Additional properties are not allowed ('zzz' was unexpected)");
  expect(say({ server: { name: 5, host: null } })).toBe("Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'");
});
