export { createBell, noBell, type Bell } from './bell.ts';
export { Cancelled, ChildFailed, ChildLate, LostLease, publicMessage, ShuttingDown } from './errors.ts';
export { Ends, taskChannel, type Ended } from './ends.ts';
export { Killed } from './execution.ts';
export { Holder, type Held, type HolderOptions } from './hold.ts';
export type { Faults, RunnerOptions } from './options.ts';
export { Plan, planFor, plans, type AnyPlan, type Outcome, type Run, type Settle, type Startable, type StepOptions, type TaskError, type TaskFacts } from './plan.ts';
export { Runner } from './runner.ts';
export { laneOf, Tasks, type EnqueueOptions, type StepRecord, type TaskRow, type TaskState } from './tasks.ts';
