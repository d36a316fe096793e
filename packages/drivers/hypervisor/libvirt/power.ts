import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { ServerSpec } from '../contract.ts';
import { planDisks } from '../disk-plan.ts';
import { hardware } from '../hardware.ts';
import { checkSpec } from '../validate.ts';
import type { Context } from './context.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import type { Files } from './files.ts';
import { hasUefi } from './host-facts.ts';
import { flag, type DomainHandle } from './protocol.ts';
import { setSecrets } from './secret-setup.ts';

/** A guest that was still booting did not hear the first request: it is repeated, as Nova does. */
const askAgainMs = 10_000;

/** The server's files and definition as the spec wants them, whatever is there. */
export async function prepare(context: Context, files: Files, call: Call, spec: ServerSpec): Promise<DomainHandle> {
  checkSpec(spec);
  planDisks(spec); // refuses what cannot be built before anything is made
  if (hardware(spec).firmware === 'uefi' && !(await hasUefi(context))) {
    throw new DriverError('unsupported', 'This host has no UEFI firmware (Debian: the package ovmf).');
  }
  const stranger = await context.domains.find(spec.id);
  if (stranger !== undefined && !(await context.owns(stranger))) {
    throw new DriverError('busy', 'The host already runs a machine with the id of this server.', { detail: `domain ${stranger.name} is not of ${context.instancesDir}` });
  }
  await files.build(call, context.folder(spec.id), spec);
  call.signal.throwIfAborted();
  await setSecrets(context, spec);
  return context.define(spec);
}

/** How often a start is tried when somebody else took the port of the screen in the same moment. */
const portAttempts = 5;

/** Running is success; saved memory is used unless `fresh`. */
export async function start(context: Context, domain: DomainHandle, options: { fresh?: boolean; paused?: boolean } = {}): Promise<void> {
  const flags = (options.fresh ? flag.startForceBoot : 0) | (options.paused ? flag.startPaused : 0);
  for (let attempt = 1; ; attempt++) {
    try {
      return void (await context.domains.start(domain, flags));
    } catch (error) {
      if (isLibvirtCode(error, libvirtCode.operationInvalid) && (await context.state(domain)) !== 'shutdown') return;
      // each daemon looks for a free port by itself, so two on one host can choose the same; the next look sees that it is taken
      const portTaken = error instanceof DriverError && /Failed to find an available port|Address already in use/i.test(error.detail ?? '');
      if (!portTaken || attempt === portAttempts) throw error;
      context.log.info({ serverId: domain.uuid, attempt }, 'another program took the port of the screen: trying again');
      await sleep(50 * attempt);
    }
  }
}

export async function powerOn(context: Context, files: Files, call: Call, spec: ServerSpec): Promise<void> {
  const existing = await context.find(spec.id);
  const state = existing === undefined ? 'nostate' : await context.state(existing);
  if (existing !== undefined && state === 'running') return;
  if (existing !== undefined && state === 'paused') return unpause(context, spec.id);
  if (existing !== undefined && state === 'suspended') {
    await setSecrets(context, spec);
    return start(context, existing);
  }
  await start(context, await prepare(context, files, call, spec));
}

export async function powerOff(context: Context, call: Call, id: string, timeoutSeconds = 60): Promise<void> {
  const domain = await context.require(id);
  const state = await context.state(domain);
  if (state === 'suspended') return context.domains.removeManagedSave(domain);
  if (state === 'shutdown' || state === 'crashed') return;
  // a paused guest cannot answer
  if (state === 'running' && timeoutSeconds > 0 && (await askToStop(context, call, domain, timeoutSeconds * 1_000))) return;
  await context.kill(domain);
}

/** True when the guest went off by itself in time. */
async function askToStop(context: Context, call: Call, domain: DomainHandle, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  const off = async (): Promise<boolean> => ['shutdown', 'crashed'].includes(await context.state(domain));
  for (;;) {
    try {
      await context.domains.shutdown(domain);
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind === 'absent') throw error;
      // off in the meantime, or an agent that died: the next round or the hard stop decides
      call.log.debug({ err: error, serverId: domain.uuid }, 'the request to shut down was refused');
    }
    const left = deadline - Date.now();
    if (await context.wait(call, domain.uuid, Math.min(askAgainMs, left), off)) return true;
    if (left <= askAgainMs) return false;
  }
}

export async function reboot(context: Context, files: Files, call: Call, spec: ServerSpec, type: 'SOFT' | 'HARD', timeoutSeconds = 120): Promise<void> {
  checkSpec(spec);
  const existing = await context.find(spec.id);
  if (existing !== undefined) {
    const soft = type === 'SOFT' && (await context.state(existing)) === 'running' && (await askToStop(context, call, existing, timeoutSeconds * 1_000));
    if (!soft) {
      await context.kill(existing);
      if (await context.domains.hasManagedSave(existing)) await context.domains.removeManagedSave(existing);
    }
  }
  call.signal.throwIfAborted();
  await start(context, await prepare(context, files, call, spec), { fresh: true });
}

export async function pause(context: Context, id: string): Promise<void> {
  const domain = await context.require(id);
  if ((await context.state(domain)) === 'paused') return;
  await running(context.domains.suspend(domain));
}

export async function unpause(context: Context, id: string): Promise<void> {
  const domain = await context.require(id);
  if ((await context.state(domain)) === 'running') return;
  await running(context.domains.resume(domain));
}

export async function suspend(context: Context, id: string): Promise<void> {
  const domain = await context.require(id);
  if ((await context.state(domain)) === 'suspended') return;
  await running(context.domains.managedSave(domain));
}

/** "Not in that state" is the caller's to know: the service has checked, so something else stopped the server. */
async function running(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (isLibvirtCode(error, libvirtCode.operationInvalid)) throw new DriverError('busy', 'The server is not running.', { cause: error });
    throw error;
  }
}

/** Makes the server what it was before the host went down. */
export async function restore(context: Context, files: Files, call: Call, spec: ServerSpec, wanted: 'running' | 'paused' | 'shutdown' | 'suspended'): Promise<void> {
  checkSpec(spec);
  const existing = await context.find(spec.id);
  const state = existing === undefined ? 'nostate' : await context.state(existing);
  if (existing !== undefined && (state === 'running' || state === 'paused')) {
    // the guest outlived the daemon or the worker: it is only brought to the wanted state
    if (wanted === state) return;
    if (wanted === 'paused') return pause(context, spec.id);
    if (wanted === 'running') return unpause(context, spec.id);
    return wanted === 'suspended' ? suspend(context, spec.id) : powerOff(context, call, spec.id);
  }
  const saved = existing !== undefined && state === 'suspended';
  const domain = saved && wanted !== 'shutdown' ? existing : await prepare(context, files, call, spec);
  if (wanted === 'shutdown' || wanted === 'suspended') return;
  await setSecrets(context, spec);
  try {
    await start(context, domain, { paused: wanted === 'paused' });
  } catch (error) {
    if (!saved) throw error;
    // memory that this QEMU cannot load any more must not keep the server down
    call.log.warn({ err: error, serverId: spec.id }, 'the saved memory could not be restored: the server starts anew');
    await start(context, await prepare(context, files, call, spec), { fresh: true, paused: wanted === 'paused' });
  }
}
