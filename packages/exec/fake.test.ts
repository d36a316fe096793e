import { expect, it } from 'vitest';
import { fakeRunner, ProgramFailed, ProgramMissing, ProgramTimedOut } from './index.ts';

it('records, answers, fails, hangs', async () => {
  const runner = fakeRunner({
    ip: ({ args }) => (args[0] === 'bad' ? { exitCode: 2, stderr: 'no' } : { stdout: args.join(' ') }),
    slow: () => 'hang',
  });
  expect((await runner.run('ip', ['link', 'show'])).stdout).toBe('link show');
  await expect(runner.run('ip', ['bad'])).rejects.toThrow(ProgramFailed);
  await expect(runner.run('other', [])).rejects.toThrow(ProgramMissing);
  await expect(runner.run('slow', [], { timeoutMs: 10 })).rejects.toThrow(ProgramTimedOut);
  const stop = new AbortController();
  const hung = runner.run('slow', [], { signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(hung).rejects.toThrow('enough');
  expect(runner.calls.map(({ program, args }) => [program, ...args])).toEqual([['ip', 'link', 'show'], ['ip', 'bad'], ['slow'], ['slow']]);
  const child = await runner.spawn('slow', []);
  expect(child.running).toBe(true);
  expect(await child.stop()).toEqual({ exitCode: null, signal: 'SIGTERM', stderr: '' });
  expect(child.running).toBe(false);
});
