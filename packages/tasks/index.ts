export { createBell, noBell, type Bell } from './bell.ts';
export { Cancelled, ChildFailed, ChildLate, LostLease, publicMessage, ShuttingDown } from './errors.ts';
export { Killed, type Faults } from './execution.ts';
export { Holder, type Held, type HolderOptions } from './hold.ts';
export { Plan, planFor, plans, type AnyPlan, type Outcome, type Run, type Settle, type Startable, type StepOptions, type TaskError, type TaskFacts } from './plan.ts';
export { Runner, type RunnerOptions } from './runner.ts';
export { laneOf, Tasks, type EnqueueOptions, type StepRecord, type TaskRow, type TaskState } from './tasks.ts';
