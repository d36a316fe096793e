import type { Settings } from '@cumulet/config';
import { BadRequest, Forbidden } from '@cumulet/wire';
import type { UserOptions, UserRow } from './store.ts';

type Compliance = Settings['identity']['compliance'];
const day = 86_400_000;

/** keystone's [security_compliance], as functions of a user and the time. All are off unless an operator sets them. */
export function checkStrength(settings: Settings['identity'], password: string): void {
  if (Buffer.byteLength(password) > settings.maxPasswordLength) throw new Forbidden(`The password length must be less than or equal to ${settings.maxPasswordLength}. The server could not comply with the request because the password is invalid.`);
  const { passwordRegex, passwordRegexDescription } = settings.compliance;
  // Python's re.match holds at the start only, so does ours.
  if (passwordRegex !== undefined && !new RegExp(`^(?:${passwordRegex})`).test(password)) throw new BadRequest(`The password does not match the requirements: ${passwordRegexDescription ?? 'None'}.`);
}

/** When a password set now ends; null never. One set by an administrator may have to be changed at the first use. */
export function expiryOf(c: Compliance, options: UserOptions, now: number, setBy: 'user' | 'administrator'): Date | null {
  if (setBy === 'administrator' && c.changePasswordUponFirstUse && options.ignore_change_password_upon_first_use !== true) return new Date(now);
  if (c.passwordExpiresDays === undefined || options.ignore_password_expiry === true) return null;
  return new Date(now + c.passwordExpiresDays * day);
}

export function isLocked(c: Compliance, user: UserRow, now: number): boolean {
  if (c.lockoutFailureAttempts === undefined || user.options.ignore_lockout_failure_attempts === true || user.failed_logins < c.lockoutFailureAttempts) return false;
  return c.lockoutDurationSeconds === 0 || (user.failed_login_at?.getTime() ?? 0) + c.lockoutDurationSeconds * 1000 > now;
}

/** Unused for too long counts as disabled. */
export function isInactive(c: Compliance, user: UserRow, now: number): boolean {
  if (c.disableUserDaysInactive === undefined || user.options.ignore_user_inactivity === true) return false;
  return (user.last_active_at ?? user.created_at).getTime() + c.disableUserDaysInactive * day <= now;
}

export const isEnabled = (c: Compliance, user: UserRow, now: number): boolean => user.enabled && !isInactive(c, user, now);

export function checkMinimumAge(c: Compliance, user: UserRow, now: number): void {
  if (!user.password_self_service || !user.password_created_at) return;
  const left = user.password_created_at.getTime() + c.minimumPasswordAgeDays * day - now;
  if (left > 0) throw new BadRequest(`You cannot change your password at this time due to the minimum password age. Once you change your password, it must be used for ${c.minimumPasswordAgeDays} day(s) before it can be changed. Please try again in ${Math.floor(left / day)} day(s) or contact your administrator to reset your password.`);
}
