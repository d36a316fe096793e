import { createServer } from 'node:net';
import { services, type ServiceName, type Settings } from '@cumulet/config';
import { Refusal } from './refusal.ts';

/** Throws Refusal, with a name, for each port that cannot be had. Better now than from a child that has been started. */
export async function checkPorts(settings: Pick<Settings, 'bind' | 'ports'>): Promise<void> {
  const names = Object.keys(services) as ServiceName[];
  const owner = new Map<number, ServiceName>();
  for (const name of names) {
    const other = owner.get(settings.ports[name]);
    if (other) throw new Refusal(`port ${settings.ports[name]} is set for ${other} and for ${name}`);
    owner.set(settings.ports[name], name);
  }
  const reasons = await Promise.all(names.map((name) => refusal(settings.bind, settings.ports[name], name)));
  const found = new Set(reasons.filter((reason) => reason !== undefined));
  if (found.size > 0) throw new Refusal([...found].join('; '));
}

function refusal(host: string, port: number, name: ServiceName): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => resolve(
      error.code === 'EADDRINUSE' ? `port ${port} (${name}) on ${host} is in use: end what uses it, or set CUMULET_PORTS_${name.toUpperCase()}`
        : error.code === 'EADDRNOTAVAIL' ? `CUMULET_BIND: this machine has no address ${host}`
          : error.code === 'EACCES' ? `port ${port} (${name}): only root may listen on it` : `port ${port} (${name}): ${error.message}`,
    ));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
