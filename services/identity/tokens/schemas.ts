import { shape } from '@cumulet/wire';
import { z } from 'zod';

const text = z.string();
const domain = z.looseObject({ id: text.optional(), name: text.optional() });
const user = { id: text.optional(), name: text.optional(), domain: domain.optional() };
const project = z.looseObject({ id: text.optional(), name: text.optional(), domain: domain.optional() });

const scope = z.looseObject({
  project: project.optional(), domain: domain.optional(), system: z.looseObject({ all: z.boolean().optional() }).optional(), unscoped: z.any().optional(),
  'OS-TRUST:trust': z.looseObject({ id: text.optional() }).optional(),
});

/** Members of `identity` for methods that are not there are not looked at. */
export const Authenticate = shape('Authenticate', z.looseObject({
  auth: z.looseObject({
    identity: z.looseObject({
      methods: z.array(text),
      password: z.looseObject({ user: z.looseObject({ ...user, password: text.optional() }).optional() }).optional(),
      token: z.looseObject({ id: text }).optional(),
      totp: z.looseObject({ user: z.looseObject({ ...user, passcode: text.optional() }).optional() }).optional(),
      application_credential: z.looseObject({ id: text.optional(), name: text.optional(), secret: text.optional(), user: z.looseObject(user).optional() }).optional(),
    }),
    // Old clients write `unscoped` as a word.
    scope: z.union([scope, text]).optional(),
  }),
}));
export type AuthBody = z.output<typeof Authenticate.newest>['auth'];
export type UserBody = { id?: string | undefined; name?: string | undefined; domain?: { id?: string | undefined; name?: string | undefined } | undefined };
export type ProjectBody = z.output<typeof project>;
export type DomainBody = z.output<typeof domain>;
