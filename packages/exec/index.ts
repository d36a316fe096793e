export type { Child, Exit, ExecLog, Limits, Runner, RunOptions, RunResult, SpawnOptions } from './contract.ts';
export { ProgramError, ProgramFailed, ProgramKilled, ProgramMissing, ProgramTimedOut } from './errors.ts';
export { fakeRunner, type FakeAnswer, type FakeCall, type FakeRunner } from './fake.ts';
export { createRunner, type RunnerOptions } from './runner.ts';
export { scrub } from './scrub.ts';
