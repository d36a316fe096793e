import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemons, freePorts, needPrograms, runProgram, type Daemons } from './daemons.ts';

export interface RealSwift {
  readonly authUrl: string;
  readonly user: string;
  readonly key: string;
  /** Its processes are called proxy, account, container, object and memcached. */
  readonly daemons: Daemons;
  stop(): Promise<void>;
}

const servers = ['account', 'container', 'object'] as const;

/** A Swift of one node, one replica and plain folders, with accounts of its own (tempauth). */
export async function startSwift(folder: string): Promise<RealSwift> {
  needPrograms(['swift-proxy-server', 'swift-object-server', 'swift-container-server', 'swift-account-server', 'swift-ring-builder', 'memcached'], 'swift-proxy swift-account swift-container swift-object memcached');
  const [proxy = 0, memcached = 0, ...ports] = await freePorts(5);
  const etc = join(folder, 'etc');
  for (const path of [etc, join(folder, 'srv', 'd1'), join(folder, 'log')]) mkdirSync(path, { recursive: true });
  const write = (name: string, sections: Record<string, Record<string, string | number>>) => writeFileSync(join(etc, name), Object.entries(sections).map(([section, values]) => `[${section}]\n${Object.entries(values).map(([k, v]) => `${k} = ${v}\n`).join('')}`).join('\n'));
  const everywhere = { bind_ip: '127.0.0.1', workers: 0, user: 'root', swift_dir: etc, log_level: 'WARNING' };
  write('swift.conf', { 'swift-hash': { swift_hash_path_suffix: 'test', swift_hash_path_prefix: 'test' }, 'swift-constraints': {} });
  servers.forEach((kind, i) => {
    const port = ports[i] as number;
    write(`${kind}-server.conf`, {
      DEFAULT: { ...everywhere, bind_port: port, devices: join(folder, 'srv'), mount_check: 'false', disable_fallocate: 'true' },
      'pipeline:main': { pipeline: `${kind}-server` }, [`app:${kind}-server`]: { use: `egg:swift#${kind}` },
    });
    if (existsSync(join(etc, `${kind}.ring.gz`))) return;
    const ring = (...args: string[]) => runProgram('swift-ring-builder', [`${kind}.builder`, ...args], etc);
    ring('create', '6', '1', '1');
    ring('add', '--region', '1', '--zone', '1', '--ip', '127.0.0.1', '--port', String(port), '--device', 'd1', '--weight', '1');
    ring('rebalance');
  });
  const filters = ['catch_errors', 'gatekeeper', 'healthcheck', 'proxy-logging', 'cache', 'listing_formats', 'bulk', 'tempauth', 'copy', 'slo', 'dlo'];
  write('proxy-server.conf', {
    DEFAULT: { ...everywhere, bind_port: proxy },
    'pipeline:main': { pipeline: [...filters, 'proxy-server'].join(' ') },
    'app:proxy-server': { use: 'egg:swift#proxy', account_autocreate: 'true', allow_account_management: 'true' },
    ...Object.fromEntries(filters.map(f => [`filter:${f}`, { use: `egg:swift#${{ cache: 'memcache', 'proxy-logging': 'proxy_logging' }[f] ?? f}` }])),
    'filter:tempauth': { use: 'egg:swift#tempauth', user_test_tester: 'testing .admin', storage_url_scheme: 'http' },
    'filter:cache': { use: 'egg:swift#memcache', memcache_servers: `127.0.0.1:${memcached}` },
  });

  const all = daemons(join(folder, 'log'));
  all.start('memcached', 'memcached', ['-u', 'nobody', '-m', '16', '-l', '127.0.0.1', '-p', String(memcached)]);
  for (const kind of servers) all.start(kind, `swift-${kind}-server`, [join(etc, `${kind}-server.conf`)]);
  all.start('proxy', 'swift-proxy-server', [join(etc, 'proxy-server.conf')]);
  const answers = (url: string) => fetch(url).then(() => true, () => false);
  await all.until('Swift', async () => (await Promise.all([answers(`http://127.0.0.1:${proxy}/healthcheck`), ...ports.map(p => answers(`http://127.0.0.1:${p}/`))])).every(Boolean));
  return { authUrl: `http://127.0.0.1:${proxy}/auth/v1.0`, user: 'test:tester', key: 'testing', daemons: all, stop: all.stop };
}
