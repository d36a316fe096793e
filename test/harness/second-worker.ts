import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { plainCall } from '@cumulet/drivers';
import { linuxBridge } from '@cumulet/drivers/network';
import type { Child } from '@cumulet/exec';
import type { TestCloud } from './cloud.ts';
import { eventually, runner } from './processes.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** A further host of a cloud: the worker as an operator starts it on another machine, with a state folder of its own. It reads images where the first one keeps them. */
export async function secondWorker(cloud: TestCloud, o: { host: string; env?: Readonly<Record<string, string>> }): Promise<{ readonly home: string; stop(signal?: NodeJS.Signals): Promise<void> }> {
  const home = mkdtempSync('/tmp/cumulet-host-');
  const settings = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { databaseUrl: string; redisUrl: string; network: { prefix: string } };
  mkdirSync(home, { recursive: true });
  const prefix = `${settings.network.prefix.slice(0, 3)}z`;
  copyFileSync(join(cloud.home, 'secret.key'), join(home, 'secret.key'));
  let working = false;
  let said = '';
  const child: Child = await runner.spawn(process.execPath, ['services/worker/main.ts'], {
    cwd: repository, graceMs: 5_000,
    env: {
      CUMULET_HOME: home, CUMULET_HOST: o.host, DATABASE_URL: settings.databaseUrl, REDIS_URL: settings.redisUrl, CUMULET_WORKER_ROLES: '[compute, network]',
      CUMULET_IMAGE_STORES: JSON.stringify([{ id: 'file', driver: 'file', path: join(cloud.home, 'images'), default: true }]), CUMULET_NETWORK_PREFIX: prefix, ...o.env,
    },
    onLine: (line) => { said += `${line}\n`; working ||= line.includes('"working"'); },
  });
  await eventually(() => working || !child.running, 60_000, 'the second worker').catch(async (error: unknown) => {
    await child.stop();
    throw error;
  });
  if (!child.running) throw new Error(`the second worker ended:\n${said}`);
  return {
    home,
    async stop(signal = 'SIGTERM') {
      await child.stop(signal);
      // A worker that ends leaves its guests their wires; this host is gone for good.
      if (o.env?.['CUMULET_NETWORK_DRIVER'] === 'linuxbridge') await linuxBridge(runner, { prefix, stateDir: join(home, 'network'), runDir: join(home, 'run') }).stopAll(plainCall(), { keepWires: false });
      rmSync(home, { recursive: true, force: true });
    },
  };
}
