import type { Sealer } from '@cumulet/auth';

const context = (serverId: string) => `password of ${serverId}`;

/** A password on its way to a server: only its task's worker reads it, and no row ever has it in clear. */
export const sealPassword = (sealer: Pick<Sealer, 'seal'>, serverId: string, password: string): string => sealer.seal(Buffer.from(password), context(serverId)).toString('base64');
export const openPassword = (sealer: Pick<Sealer, 'open'>, serverId: string, sealed: string): string => sealer.open(Buffer.from(sealed, 'base64'), context(serverId)).toString();
