import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Forbidden } from '@cumulet/wire';
import { type Caller, scopeOf, type ScopeType } from '../caller.ts';
import { compileAll, type Decide, type PolicyTarget } from './compile.ts';
import { credentialsOf } from './credentials.ts';
import { readAbout, readRules, type RuleAbout } from './files.ts';
import { type Check, PolicyError } from './parse.ts';

export type { PolicyTarget } from './compile.ts';

/** A refusal; `rule` is for logs and for messages that name it. */
export class PolicyForbidden extends Forbidden {
  readonly rule: string;
  constructor(rule: string, message: string) { super(message); this.rule = rule; }
}

export interface PolicyRule { readonly name: string; readonly check: string; readonly scopes?: readonly ScopeType[] | undefined; readonly overridden: boolean; readonly operations?: readonly string[] | undefined }

export interface EnforcerOptions {
  /** `identity`, `compute` …: the file `policy/NAME.yaml`. */
  readonly service: string;
  /** The operator's folder; its `NAME.yaml`, when there, overrides single rules. */
  readonly overrideDir?: string | undefined;
  /** The folder of the defaults; the repository's `policy/` unless a test says otherwise. */
  readonly defaultsDir?: string;
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  /** Milliseconds between looks at the operator's file. */
  readonly lookEveryMs?: number;
  /** The refusal in the service's own words; nova's is the default. */
  readonly refusal?: (rule: string) => string;
}

interface Loaded { readonly decide: ReadonlyMap<string, Decide>; readonly texts: ReadonlyMap<string, string>; readonly overridden: ReadonlySet<string> }

/** Changes whenever the file does; undefined when there is none. */
const signature = (path: string): Promise<string | undefined> => stat(path, { bigint: true }).then(s => `${s.ino} ${s.size} ${s.mtimeNs}`, () => undefined);

const repositoryPolicies = fileURLToPath(new URL('../../../policy/', import.meta.url));

/** Decides by the rules of one service. Asking is synchronous and costs a few function calls. */
export class Enforcer {
  readonly #options: EnforcerOptions;
  readonly #defaults: ReadonlyMap<string, { text: string; check: Check }>;
  readonly #about: ReadonlyMap<string, RuleAbout>;
  readonly #overridePath: string | undefined;
  #loaded: Loaded;
  #watch: NodeJS.Timeout | undefined;
  #seen: string | undefined;
  #looking = false;

  private constructor(options: EnforcerOptions, defaults: ReadonlyMap<string, { text: string; check: Check }>, about: ReadonlyMap<string, RuleAbout>) {
    this.#options = options;
    this.#defaults = defaults;
    this.#about = about;
    this.#overridePath = options.overrideDir === undefined ? undefined : join(options.overrideDir, `${options.service}.yaml`);
    this.#loaded = this.#merge(new Map());
  }

  /** Reads the defaults (an error there is fatal) and the operator's file (an error there is logged, the defaults stand), and looks after the latter. */
  static async open(options: EnforcerOptions): Promise<Enforcer> {
    const dir = options.defaultsDir ?? repositoryPolicies;
    const enforcer = new Enforcer(options, await readRules(join(dir, `${options.service}.yaml`)), await readAbout(join(dir, `${options.service}.about.yaml`)));
    await enforcer.reload();
    const path = enforcer.#overridePath;
    if (path !== undefined) {
      enforcer.#watch = setInterval(() => { void enforcer.#look(path); }, options.lookEveryMs ?? 1_000);
      enforcer.#watch.unref();
    }
    return enforcer;
  }

  /** No longer looks after the operator's file. */
  close(): void { clearInterval(this.#watch); }

  /** Reads the operator's file again. A file that cannot be used leaves the rules as they are. */
  async reload(): Promise<void> {
    if (this.#overridePath === undefined) return;
    const log = this.#options.log;
    // Taken before the reading: a change during it is seen as one afterwards.
    this.#seen = await signature(this.#overridePath);
    try {
      this.#loaded = this.#merge(await readRules(this.#overridePath));
      log.info({ file: this.#overridePath, rules: [...this.#loaded.overridden] }, 'policy overrides in force');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') { this.#loaded = this.#merge(new Map()); return; }
      log.warn({ file: this.#overridePath, reason: (error as Error).message }, 'policy file not usable, the rules stay as they were');
    }
  }

  async #look(path: string): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try { if (await signature(path) !== this.#seen) await this.reload(); } finally { this.#looking = false; }
  }

  #merge(overrides: ReadonlyMap<string, { text: string; check: Check }>): Loaded {
    const merged = new Map(this.#defaults);
    const overridden = new Set<string>();
    // A deprecated name stands for its successor unless the successor is overridden too, as oslo.policy has it.
    for (const [name, { deprecated = [] }] of this.#about) {
      const given = overrides.get(name) ?? deprecated.map(old => overrides.get(old)).find(o => o !== undefined);
      if (given && this.#defaults.has(name)) { merged.set(name, given); overridden.add(name); }
    }
    for (const [name, rule] of overrides) { merged.set(name, rule); overridden.add(name); }
    return { decide: compileAll(new Map([...merged].map(([name, { check }]) => [name, check]))), texts: new Map([...merged].map(([name, { text }]) => [name, text])), overridden };
  }

  has(rule: string): boolean { return this.#defaults.has(rule); }

  /** All rules as they are in force, for the generated tables. */
  rules(): PolicyRule[] {
    return [...this.#defaults.keys()].map(name => ({
      name, check: this.#loaded.texts.get(name) ?? '', scopes: this.#about.get(name)?.scopes, overridden: this.#loaded.overridden.has(name), operations: this.#about.get(name)?.operations,
    }));
  }

  /** May the caller do this to that? `target` is built from path and database rows, never from body or query. */
  check(rule: string, caller: Caller, target: PolicyTarget = {}): boolean {
    const decide = this.#loaded.decide.get(rule);
    if (!decide) throw new PolicyError(`no rule ${rule} in policy/${this.#options.service}.yaml`);
    const scopes = this.#about.get(rule)?.scopes;
    const scope = scopeOf(caller);
    if (scopes && scope !== 'unscoped' && !scopes.includes(scope)) return false;
    return decide(this.#credentials(caller), target);
  }

  /** Like `check`, but a no is thrown as the service's 403. */
  require(rule: string, caller: Caller, target: PolicyTarget = {}): void {
    if (!this.check(rule, caller, target)) throw new PolicyForbidden(rule, this.#options.refusal?.(rule) ?? `Policy doesn't allow ${rule} to be performed.`);
  }

  /** True for whoever the rule `context_is_admin` names: what nova and cinder call an admin context. */
  isAdmin(caller: Caller): boolean {
    return this.#loaded.decide.get('context_is_admin')?.({ ...credentialsOf(caller), is_admin: false }, {}) ?? false;
  }

  #admin = new WeakMap<Caller, { for: Loaded; credentials: Readonly<Record<string, unknown>> }>();
  #credentials(caller: Caller): Readonly<Record<string, unknown>> {
    const known = this.#admin.get(caller);
    if (known?.for === this.#loaded) return known.credentials;
    const credentials = { ...credentialsOf(caller), is_admin: this.isAdmin(caller) };
    this.#admin.set(caller, { for: this.#loaded, credentials });
    return credentials;
  }
}
