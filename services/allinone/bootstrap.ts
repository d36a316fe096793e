import { bootstrap as compute } from '@cumulet/compute';
import { bootstrap as identity } from '@cumulet/identity';
import { bootstrap as image } from '@cumulet/image';
import { bootstrap as network } from '@cumulet/network';
import type { Runtime } from '@cumulet/service';
import { bootstrap as volume } from '@cumulet/volume';

/** Whatever a new cloud starts with. May be run at every start: what is there stays as it is. */
export async function bootstrapCloud(rt: Runtime): Promise<void> {
  const { admin, demo, service } = rt.settings.passwords;
  if (!admin || !demo || !service) throw new Error('passwords.admin, passwords.demo and passwords.service must be set for the first start');
  const { projects } = await identity(rt, { passwords: { admin, demo, service } });
  for (const each of [volume, network, compute, image]) await each(rt, { projects });
}
