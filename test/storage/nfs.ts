import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemons, freePorts, needPrograms, runProgram, type Daemons } from './daemons.ts';

/**
 * A real NFS server (Ganesha), and a kernel that has a client: the machines that tests run on have none, so another Linux runs as a program
 * (user-mode Linux, Debian's) with this machine's files as its root. They are joined by a network of their own.
 */
export interface RealNfs {
  /** `HOST:PATH`, as seen from the guest kernel. */
  readonly share: string;
  readonly mountOptions: string;
  /** The folder that is exported, on this side. */
  readonly exported: string;
  /** The server is called ganesha. */
  readonly daemons: Daemons;
  /** Runs a program in a kernel with an NFS client, as root, until its end: all that it printed. Rejects when it does not end with 0. */
  inside(command: readonly string[], options?: { readonly memoryMiB?: number; readonly timeoutMs?: number }): Promise<string>;
  stop(): Promise<void>;
}

export async function startNfs(folder: string): Promise<RealNfs> {
  needPrograms(['ganesha.nfsd', 'linux.uml', 'mount.nfs', 'ip', 'modprobe'], 'nfs-ganesha nfs-ganesha-vfs user-mode-linux nfs-common iproute2 kmod');
  const exported = join(folder, 'exported');
  for (const path of [exported, join(folder, 'log'), join(folder, 'recovery')]) mkdirSync(path, { recursive: true });
  const tap = `nfs${process.pid.toString(36)}`;
  const net = `10.${200 + Math.floor(Math.random() * 50)}.${Math.floor(Math.random() * 250)}`;
  const [port] = await freePorts(1);
  runProgram('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap']);
  const all = daemons(join(folder, 'log'));
  try {
    runProgram('ip', ['addr', 'add', `${net}.1/30`, 'dev', tap]);
    runProgram('ip', ['link', 'set', tap, 'up']);
    const conf = join(folder, 'ganesha.conf');
    writeFileSync(conf, `
      NFS_CORE_PARAM { NFS_Port = ${port}; Protocols = 4; Bind_addr = ${net}.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
      NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = ${join(folder, 'recovery')}; Minor_Versions = 1, 2; }
      EXPORT { Export_Id = 1; Path = ${exported}; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
    `);
    all.start('ganesha', 'ganesha.nfsd', ['-F', '-f', conf, '-L', join(folder, 'log', 'ganesha.txt'), '-p', join(folder, 'ganesha.pid')]);
    await all.until('Ganesha', () => { try { return readFileSync(join(folder, 'log', 'ganesha.txt'), 'utf8').includes('NFS SERVER INITIALIZED'); } catch { return false; } });
  } catch (error) {
    await all.stop();
    runProgram('ip', ['link', 'del', tap]);
    throw error;
  }
  let count = 0;
  return {
    share: `${net}.1:/export`, mountOptions: `vers=4.2,port=${port},hard`, exported, daemons: all,
    async inside(command, { memoryMiB = 1024, timeoutMs = 540_000 } = {}) {
      const ended = join(folder, `ended-${count += 1}`);
      const init = join(folder, `init-${count}`);
      const quoted = command.map(word => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
      // The first program of that kernel. What is mounted in it is its own; the files are this machine's.
      writeFileSync(init, `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t tmpfs run /run && mount -t devtmpfs dev /dev
mkdir -p /run/kernel/lib && ln -s /usr/lib/uml/modules /run/kernel/lib/modules
ip link set lo up && ip addr add ${net}.2/30 dev vec0 && ip link set vec0 up
modprobe -d /run/kernel nfsv4
cd ${process.cwd()}
${quoted}
echo $? > ${ended}
exec poweroff -f
`, { mode: 0o755 });
      const kernel = spawn('linux.uml', [`mem=${memoryMiB}M`, 'rootfstype=hostfs', 'rootflags=/', 'rw', `init=${init}`, 'con=null', 'con0=fd:0,fd:1', 'quiet', `vec0:transport=tap,ifname=${tap},depth=128,gro=1`], { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
      let said = '';
      for (const stream of [kernel.stdout, kernel.stderr]) stream.on('data', (bytes: Buffer) => { said += bytes.toString(); });
      await once(kernel, 'close');
      let code = 'never';
      try { code = readFileSync(ended, 'utf8').trim(); } catch { /* It did not come to its end: `never`. */ }
      if (code !== '0') throw new Error(`${command.join(' ')} ended with ${code} in the guest kernel:\n${said.slice(-4000)}`);
      return said;
    },
    async stop() {
      await all.stop();
      runProgram('ip', ['link', 'del', tap]);
    },
  };
}
