import { z } from 'zod';
import { count, flag } from './kinds.ts';

export const tokens = z.strictObject({
  /** Seconds a token lives (keystone: [token] expiration). */
  lifetimeSeconds: count.default(3_600),
  /** Seconds after its end in which a service may still validate it with allow_expired (keystone: allow_expired_window). */
  allowExpiredWindowSeconds: count.default(172_800),
  bcryptRounds: z.coerce.number().int().min(4).max(31).default(12),
  /** Passwords hashed at once; the rest wait in line. */
  hashConcurrency: count.default(2),
}).prefault({});

export const identity = z.strictObject({
  /** YAML file of domains, projects, users, groups and roles, read at the first start (see docs/identity.md). */
  usersFile: z.string().optional(),
  /** Days after which the key that signs tokens gives way to the next; 0 only by hand. */
  keyRotationDays: z.coerce.number().min(0).default(30),
  /** Failed logins that one name from one address may have in hand, and the seconds in which it regains one. */
  failedLogins: count.default(30),
  failedLoginRefillSeconds: z.coerce.number().positive().default(2),
  maxPasswordLength: z.coerce.number().int().min(1).max(4_096).default(4_096),
  maxProjectTreeDepth: count.default(5),
  limitModel: z.enum(['flat', 'strict_two_level']).default('flat'),
  /** -1 is unlimited. */
  applicationCredentialsPerUser: z.coerce.number().int().min(-1).default(-1),
  credentialsPerUser: z.coerce.number().int().min(-1).default(-1),
  maxRedelegationCount: z.coerce.number().int().min(0).default(3),
  /** Whether a project that still holds servers, volumes or images may be deleted, which orphans them, as in keystone. */
  deleteProjectsInUse: flag.default(false),
  /** keystone's [security_compliance]; each is off by default, as there. */
  compliance: z.strictObject({
    lockoutFailureAttempts: count.optional(),
    lockoutDurationSeconds: z.coerce.number().int().min(0).default(1_800),
    disableUserDaysInactive: count.optional(),
    passwordExpiresDays: count.optional(),
    uniqueLastPasswordCount: z.coerce.number().int().min(0).default(0),
    minimumPasswordAgeDays: z.coerce.number().int().min(0).default(0),
    passwordRegex: z.string().optional(),
    passwordRegexDescription: z.string().optional(),
    changePasswordUponFirstUse: flag.default(false),
  }).prefault({}),
}).prefault({});
