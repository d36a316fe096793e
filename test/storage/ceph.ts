import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemons, freePorts, needPrograms, runProgram, type Daemons } from './daemons.ts';

export interface RealCeph {
  /** Path of ceph.conf, with client.admin's keyring in it. */
  readonly conf: string;
  readonly fsid: string;
  /** Its processes are called mon, mgr and osd. */
  readonly daemons: Daemons;
  /** `ceph -c CONF …`; throws with what it said. */
  ceph(...args: string[]): string;
  /** `rbd -c CONF …` */
  rbd(...args: string[]): string;
  createPool(name: string): void;
  stop(): Promise<void>;
}

/** A Ceph of one monitor, one manager and one OSD that keeps everything in a sparse file. */
export async function startCeph(folder: string, options: { readonly sizeGiB?: number } = {}): Promise<RealCeph> {
  needPrograms(['ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph', 'rbd', 'monmaptool', 'ceph-authtool'], 'ceph-mon ceph-mgr ceph-osd ceph-common');
  for (const d of ['log', 'run', 'mon', 'mgr', 'osd']) mkdirSync(join(folder, d), { recursive: true });
  const conf = join(folder, 'ceph.conf');
  const keyring = join(folder, 'keyring');
  const fsid = crypto.randomUUID();
  const [v1, v2] = await freePorts(2);
  const monAddress = `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
  const settings: Record<string, Record<string, string | number | boolean>> = {
    global: {
      fsid, 'mon host': monAddress, 'public addr': '127.0.0.1', 'cluster addr': '127.0.0.1', keyring,
      'run dir': join(folder, 'run'), 'admin socket': join(folder, 'run', '$name.$pid.asok'), 'log file': join(folder, 'log', '$name.log'), 'pid file': '',
      'osd pool default size': 1, 'osd pool default min size': 1, 'osd pool default pg autoscale mode': 'off', 'osd crush chooseleaf type': 0,
      'mon warn on pool no redundancy': false, 'mon allow pool size one': true, 'mon allow pool delete': true, 'mon data avail warn': 1, 'mon data avail crit': 1,
      'auth allow insecure global id reclaim': false, 'ms bind ipv6': false,
    },
    mon: { 'mon data': join(folder, 'mon') },
    mgr: { 'mgr data': join(folder, 'mgr'), 'mgr initial modules': '' },
    osd: {
      'osd data': join(folder, 'osd'), 'osd objectstore': 'bluestore', 'osd memory target': 939_524_096, 'osd memory cache min': 67_108_864,
      'bluestore block size': (options.sizeGiB ?? 10) * 2 ** 30, 'bluefs preextend wal files': false, 'osd numa auto affinity': false, 'osd op num shards': 2, 'bdev enable discard': false,
    },
  };
  writeFileSync(conf, Object.entries(settings).map(([section, values]) => `[${section}]\n${Object.entries(values).map(([k, v]) => `${k} = ${v}\n`).join('')}`).join('\n'));
  const tell = (...args: string[]) => runProgram('ceph-authtool', args);
  tell('--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
  tell(keyring, '--gen-key', '-n', 'client.admin', '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *');
  tell(keyring, '--gen-key', '-n', 'mgr.x', '--cap', 'mon', 'allow profile mgr', '--cap', 'osd', 'allow *');
  tell(keyring, '--gen-key', '-n', 'osd.0', '--cap', 'mon', 'allow profile osd', '--cap', 'mgr', 'allow profile osd', '--cap', 'osd', 'allow *');
  const map = join(folder, 'monmap');
  runProgram('monmaptool', ['--create', '--fsid', fsid, '--addv', 'x', monAddress, map]);
  runProgram('ceph-mon', ['-c', conf, '--mkfs', '-i', 'x', '--monmap', map, '--keyring', keyring]);

  const all = daemons(join(folder, 'log'));
  const ceph = (...args: string[]) => runProgram('ceph', ['-c', conf, '--connect-timeout', '10', ...args]);
  const says = (expected: string, ...args: string[]) => { try { return ceph(...args).includes(expected); } catch { return false; } };
  all.start('mon', 'ceph-mon', ['-c', conf, '-f', '-i', 'x']);
  await all.until('the Ceph monitor', () => says('', 'mon', 'stat'));
  ceph('osd', 'create');
  // Sparse, before Ceph makes it itself.
  const block = join(folder, 'osd', 'block');
  if (!existsSync(block)) { const file = openSync(block, 'w'); ftruncateSync(file, (options.sizeGiB ?? 10) * 2 ** 30); closeSync(file); }
  runProgram('ceph-osd', ['-c', conf, '-i', '0', '--mkfs', '--osd-uuid', crypto.randomUUID(), '--keyring', keyring]);
  all.start('mgr', 'ceph-mgr', ['-c', conf, '-f', '-i', 'x']);
  all.start('osd', 'ceph-osd', ['-c', conf, '-f', '-i', '0']);
  await all.until('the Ceph OSD', () => says('1 up', 'osd', 'stat'));
  return {
    conf, fsid, daemons: all, ceph,
    rbd: (...args) => runProgram('rbd', ['-c', conf, ...args]),
    createPool(name) {
      ceph('osd', 'pool', 'create', name, '8', '8');
      ceph('osd', 'pool', 'application', 'enable', name, 'rbd');
    },
    stop: all.stop,
  };
}
