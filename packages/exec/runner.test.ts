import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRunner, ProgramFailed, ProgramKilled, ProgramMissing, ProgramTimedOut } from './index.ts';

const runner = createRunner({ log: { debug() {}, warn() {} } });
const node = process.execPath;
let dir: string;
beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'storage-exec-')); });
afterAll(() => rm(dir, { recursive: true }));

const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const dead = async (pid: number, withinMs = 10_000) => {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(20)) if (!alive(pid)) return true;
  return false;
};
/** A program with a child of its own that ignores SIGTERM; both pids go to a file. */
const family = async (name: string) => {
  const file = join(dir, name);
  const code = `
    const { spawn } = require('node:child_process');
    const kid = spawn(process.execPath, ['-e', 'process.on("SIGTERM",()=>{});setInterval(()=>{},1000)'], { stdio: 'ignore' });
    setTimeout(() => require('node:fs').writeFileSync(${JSON.stringify(file)}, process.pid + ' ' + kid.pid), 150);
    setInterval(() => {}, 1000);`;
  const pids = async () => {
    for (const end = Date.now() + 8000; Date.now() < end; await sleep(20)) {
      const said = await readFile(file, 'utf8').catch(() => '');
      if (said.includes(' ')) return said.split(' ').map(Number) as [number, number];
    }
    throw new Error('the family did not start');
  };
  return { args: ['-e', code], pids };
};

describe('run', { timeout: 120_000 }, () => {
  it('gives output and exit code, and passes arguments untouched by any shell', async () => {
    const hostile = ['$(id)', '; rm -rf /', '`x`', '*', "a'b\"c", ''];
    const { stdout, exitCode } = await runner.run(node, ['-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--', ...hostile]);
    expect(JSON.parse(stdout)).toEqual(hostile);
    expect(exitCode).toBe(0);
  });

  it('inherits nothing but a minimal environment', async () => {
    process.env.STORAGE_SECRET_TEST = 'x';
    const { stdout } = await runner.run('env', [], { env: { MINE: '1' } });
    delete process.env.STORAGE_SECRET_TEST;
    expect(stdout.split('\n').filter(Boolean).map((line) => line.split('=')[0]).toSorted()).toEqual(['HOME', 'LANG', 'LC_ALL', 'MINE', 'PATH']);
  });

  it('says missing, failed with the end of stderr, killed', async () => {
    await expect(runner.run('no-such-program-here', [])).rejects.toThrow(ProgramMissing);
    await expect(runner.run('../bin/true', [])).rejects.toThrow(ProgramMissing);
    await expect(runner.run(dir, [])).rejects.toThrow(ProgramMissing);
    const failed = await runner.run(node, ['-e', 'console.error("a\\nno room left");process.exit(3)']).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ProgramFailed);
    expect(failed).toMatchObject({ exitCode: 3, stderr: 'a\nno room left\n', message: expect.stringContaining('no room left') });
    await expect(runner.run(node, ['-e', 'process.kill(process.pid,"SIGKILL")'])).rejects.toMatchObject({ name: 'ProgramKilled', signal: 'SIGKILL' });
    expect((await runner.run('grep', ['x', '/dev/null'], { okExitCodes: [1] })).exitCode).toBe(1);
  });

  it('ends the whole process group on time-out', async () => {
    const { args, pids } = await family('timeout');
    const ended = runner.run(node, args, { timeoutMs: 4000 }).catch((error: unknown) => error);
    const [parent, kid] = await pids();
    expect(await ended).toBeInstanceOf(ProgramTimedOut);
    expect(await dead(parent) && await dead(kid)).toBe(true);
  });

  it('ends the whole process group on abort and throws the reason', async () => {
    const { args, pids } = await family('abort');
    const stop = new AbortController();
    const ended = runner.run(node, args, { signal: stop.signal }).catch((error: unknown) => error);
    const [parent, kid] = await pids();
    const reason = new Error('cancelled by the user');
    stop.abort(reason);
    expect(await ended).toBe(reason);
    expect(await dead(parent) && await dead(kid)).toBe(true);
    await expect(runner.run('true', [], { signal: stop.signal })).rejects.toBe(reason);
  });

  it('uses SIGKILL for what ignores SIGTERM', async () => {
    const began = Date.now();
    await expect(runner.run(node, ['-e', 'process.on("SIGTERM",()=>{});setInterval(()=>{},1000)'], { timeoutMs: 400 })).rejects.toThrow(ProgramTimedOut);
    expect(Date.now() - began).toBeLessThan(15_000);
  });

  it('does not let a program outlive a killed parent', async () => {
    const script = join(dir, 'parent.ts');
    const pidFile = join(dir, 'orphan');
    await writeFile(script, `
      import { createRunner } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
      const runner = createRunner({ log: { debug() {}, warn() {} } });
      await runner.run(process.execPath, ['-e', 'require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));setInterval(()=>{},1000)']);`);
    const parent = nodeSpawn(node, [script], { stdio: 'ignore' });
    let pid = 0;
    for (const end = Date.now() + 8000; !pid && Date.now() < end; await sleep(30)) pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'));
    expect(alive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    expect(await dead(pid)).toBe(true);
  });

  it('ends a program that writes too much', async () => {
    const error = await runner.run('yes', [], { maxOutputBytes: 10_000 }).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(ProgramKilled);
    expect(error).toMatchObject({ reason: 'output' });
  });

  it('streams in and out with back-pressure', async () => {
    let bytes = 0;
    const output = new Writable({ highWaterMark: 1 << 16, write(chunk: Buffer, _encoding, done) { bytes += chunk.length; setImmediate(done); } });
    const input = Readable.from((function* () { for (let i = 0; i < 200; i++) yield Buffer.alloc(1 << 16, 7); })());
    const { stdout } = await runner.run('cat', [], { input, output });
    expect(bytes).toBe(200 << 16);
    expect(stdout).toBe('');
    expect(output.writableFinished).toBe(true);
  });

  it('rethrows the error of a stream that feeds it or takes its output', async () => {
    const broken = new Error('the upload broke');
    const input = Readable.from((async function* () { yield 'x'; await sleep(20); throw broken; })());
    await expect(runner.run('cat', [], { input })).rejects.toBe(broken);
    const full = new Error('disk full');
    const output = new Writable({ write(_chunk, _encoding, done) { done(full); } });
    await expect(runner.run('yes', [], { output, timeoutMs: 5000 })).rejects.toBe(full);
  });

  it('holds a program to its limits', { timeout: 90_000 }, async () => {
    await expect(runner.run('dd', ['if=/dev/zero', `of=${join(dir, 'big')}`, 'bs=1M', 'count=8'], { limits: { fileSizeBytes: 1 << 20 } })).rejects.toMatchObject({ signal: 'SIGXFSZ' });
    await expect(runner.run('dd', ['if=/dev/zero', 'of=/dev/null', 'bs=512M', 'count=1'], { limits: { memoryBytes: 128 << 20 } })).rejects.toThrow(/memory/i);
    await expect(runner.run('yes', [], { limits: { cpuSeconds: 1 }, output: new Writable({ write: (_c, _e, done) => done() }), timeoutMs: 80_000 })).rejects.toMatchObject({ name: 'ProgramKilled' });
    const { stdout } = await runner.run('prlimit', ['--nofile', '-o', 'HARD', '--noheadings'], { limits: { nofile: 77 } });
    expect(stdout.trim()).toBe('77');
    await expect(runner.run('true', [], { limits: { cpuSeconds: 1.5 } })).rejects.toThrow(RangeError);
  });

  it('logs without secrets', async () => {
    const logged: object[] = [];
    const telling = createRunner({ log: { debug: (fields, message) => void logged.push({ ...fields, message }), warn() {} } });
    await telling.run('true', ['--password', 'hunter2', 'rbd://user:hunter3@mon', 'secret=hunter4', 'plain hunter5 text'], { secrets: ['hunter5'] });
    const said = JSON.stringify(logged);
    expect(logged).toHaveLength(1);
    expect(said).not.toMatch(/hunter/);
    expect(said).toContain('rbd://user:***@mon');
  });

  it('tells of output as it comes', async () => {
    const pieces: string[] = [];
    const { stdout } = await runner.run(node, ['-e', 'process.stdout.write("10%\\r");setTimeout(()=>process.stdout.write("ä100%"),200)'], { onStdout: (piece) => pieces.push(piece) });
    expect(pieces).toEqual(['10%\r', 'ä100%']);
    expect(stdout).toBe('10%\rä100%');
  });
});

describe('spawn', { timeout: 120_000 }, () => {
  it('gives lines, and stops with the group', async () => {
    const lines: string[] = [];
    const child = await runner.spawn(node, ['-e', 'console.log("up");console.error("warn");setInterval(()=>{},1000)'], { onLine: (line, stream) => lines.push(`${stream} ${line}`) });
    for (const end = Date.now() + 5000; lines.length < 2 && Date.now() < end;) await sleep(20);
    expect(lines.toSorted()).toEqual(['stderr warn', 'stdout up']);
    expect(child.running).toBe(true);
    const gone = await child.stop();
    expect(gone).toMatchObject({ signal: 'SIGTERM', stderr: 'warn\n' });
    expect(child.running).toBe(false);
    expect(alive(child.pid)).toBe(false);
    expect(await child.stop()).toEqual(gone);
  });

  it('escalates', async () => {
    const child = await runner.spawn(node, ['-e', 'process.on("SIGINT",()=>{});console.log("up");setInterval(()=>{},1000)'], { graceMs: 200, onLine() {} });
    await sleep(400);
    expect(await child.stop('SIGINT')).toMatchObject({ signal: 'SIGKILL' });
  });

  it('pipes', async () => {
    const child = await runner.spawn('cat', [], { stdin: 'pipe', stdout: 'pipe' });
    child.stdin?.end('round trip');
    expect(Buffer.concat(await child.stdout!.toArray()).toString()).toBe('round trip');
    expect(await child.exit).toMatchObject({ exitCode: 0 });
  });

  it('says missing at once, and ends on abort', async () => {
    await expect(runner.spawn('no-such-program-here', [])).rejects.toThrow(ProgramMissing);
    const stop = new AbortController();
    const child = await runner.spawn('sleep', ['100'], { signal: stop.signal });
    stop.abort();
    expect(await child.exit).toMatchObject({ signal: 'SIGTERM' });
  });
});
