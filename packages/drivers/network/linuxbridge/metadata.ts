import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import type { NetworkSpec } from '../contract.ts';
import { endDaemon, pidOf, writeIfNew } from './daemons.ts';
import { LEG, METADATA_IP, METADATA_IP6, servesMetadata6 } from './dhcp.ts';
import type { Host } from './host.ts';
import type { Names } from './names.ts';
import type { LinuxBridgeSettings } from './settings.ts';
import type { Turns } from './turns.ts';

/**
 * One haproxy for all networks: it listens in every network's namespace at once (6 MB in total, where a process for each
 * network would cost that or more each time). Its configuration is a folder with a file for each network.
 */
export class Metadata {
  readonly #host: Host;
  readonly #names: Names;
  readonly #turns: Turns;
  readonly #folder: string;
  readonly #pidFile: string;
  constructor(host: Host, names: Names, settings: LinuxBridgeSettings, turns: Turns) {
    this.#host = host;
    this.#names = names;
    this.#turns = turns;
    this.#folder = join(settings.stateDir, 'metadata');
    this.#pidFile = join(settings.runDir, 'metadata-proxy.pid');
  }

  #file(networkId: string): string {
    return join(this.#folder, `${networkId}.cfg`);
  }

  async apply(call: Call, spec: NetworkSpec): Promise<void> {
    if (spec.metadata === null) return this.remove(call, spec.id);
    const space = this.#names.networkSpace(spec.id);
    // A namespace made anew has another number, which makes the file differ and the proxy open its socket again.
    const { ino } = await stat(join('/run/netns', space));
    await this.#turns.take('metadata', call.signal, async () => {
      const changed = await writeIfNew(this.#file(spec.id), frontend(spec, space, ino), 0o600);
      if (changed || await pidOf(this.#pidFile, this.#folder) === undefined) await this.#reload(call);
    });
  }

  async remove(call: Call, networkId: string): Promise<void> {
    await this.#turns.take('metadata', call.signal, async () => {
      if (!(await this.#networks()).includes(networkId)) return;
      await rm(this.#file(networkId), { force: true });
      await this.#reload(call);
    });
  }

  async end(call: Call): Promise<void> {
    await this.#turns.take('metadata', call.signal, () => endDaemon(this.#pidFile, this.#folder));
  }

  /** The networks whose metadata is served now. */
  async served(): Promise<string[]> {
    return await pidOf(this.#pidFile, this.#folder) === undefined ? [] : this.#networks();
  }

  async #networks(): Promise<string[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o755 });
    return (await readdir(this.#folder)).filter(f => f.endsWith('.cfg') && f !== BASE).map(f => f.slice(0, -4));
  }

  async #reload(call: Call): Promise<void> {
    // One namespace that is gone (the host was started again) would keep the proxy from starting.
    const spaces = await this.#host.spaces(call);
    for (const id of await this.#networks()) {
      if (!spaces.has(this.#names.networkSpace(id))) await rm(this.#file(id), { force: true });
    }
    if ((await this.#networks()).length === 0) return endDaemon(this.#pidFile, this.#folder);
    await writeIfNew(join(this.#folder, BASE), base);
    const old = await pidOf(this.#pidFile, this.#folder);
    // The new process takes over; the old one ends its connections and goes.
    await this.#host.run(call, 'haproxy', ['-D', '-p', this.#pidFile, '-f', this.#folder, ...(old === undefined ? [] : ['-sf', String(old)])]);
  }
}

/** Read first: the folder's files are read in the order of their names, and ids begin with a hex digit. */
const BASE = '-base.cfg';

const base = `global
  nbthread 1
  maxconn 2000
  hard-stop-after 5s
defaults
  mode http
  timeout http-request 10s
  timeout connect 5s
  timeout client 30s
  timeout server 60s
  timeout http-keep-alive 5s
  retries 1
`;

/** Headers by which the metadata service tells guests apart, and those that say where a request comes from. */
const FORGEABLE = ['x-forwarded-', 'x-neutron-', 'x-instance-', 'x-tenant-', 'x-project-', 'x-metadata-', 'x-ovn-'];

function frontend(spec: NetworkSpec, space: string, ino: number): string {
  const target = spec.metadata;
  if (target === null) return '';
  const server = 'socketPath' in target ? `'unix@${target.socketPath}'` : addressOf(target.url);
  return `# namespace ${ino}
frontend in-${spec.id}
  bind ${METADATA_IP}:80 namespace ${space}
${servesMetadata6(spec) ? `  bind ${METADATA_IP6}:80 interface ${LEG} namespace ${space}\n` : ''}  maxconn 200
  stick-table type ipv6 size 4k expire 60s store conn_cur
  tcp-request connection track-sc0 src
  tcp-request connection reject if { sc0_conn_cur gt 20 }
  http-request deny deny_status 413 if { req.hdr_val(content-length) gt 65536 }
${FORGEABLE.map(h => `  http-request del-header ${h} -m beg`).join('\n')}
  http-request del-header forwarded
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Neutron-Network-ID ${spec.id}
${Object.entries(target.headers ?? {}).map(([name, value]) => `  http-request set-header ${name} ${value}\n`).join('')}  default_backend out-${spec.id}
backend out-${spec.id}
  server api ${server}
`;
}

function addressOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port || 80}`;
}
