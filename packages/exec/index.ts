export type { Child, Exit, ExecLog, Limits, Runner, RunOptions, RunResult, SpawnOptions } from './contract.ts';
export { ProgramError, ProgramFailed, ProgramKilled, ProgramMissing, ProgramTimedOut } from './errors.ts';
