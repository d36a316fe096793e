import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import type { ScopeType } from '../caller.ts';
import { type Check, parseRule, PolicyError } from './parse.ts';

/** What is known of a rule besides its check: `policy/SERVICE.about.yaml`. */
export interface RuleAbout {
  readonly scopes?: readonly ScopeType[] | undefined;
  /** Older names under which an operator's file may override this rule. */
  readonly deprecated?: readonly string[] | undefined;
  readonly operations?: readonly string[] | undefined;
}
const aboutSchema = z.record(z.string(), z.strictObject({
  scopes: z.array(z.enum(['project', 'domain', 'system'])).optional(),
  deprecated: z.array(z.string()).optional(),
  operations: z.array(z.string()).optional(),
}));

/** Reads a file of `"name": "check"` lines (YAML or JSON), the form of oslo.policy. An empty file is no rules. */
export async function readRules(path: string): Promise<Map<string, { text: string; check: Check }>> {
  const tree: unknown = parseYaml(path, await readFile(path, 'utf8')) ?? {};
  if (typeof tree !== 'object' || Array.isArray(tree) || tree === null) throw new PolicyError(`${path}: the top level must be a map of rules`);
  const rules = new Map<string, { text: string; check: Check }>();
  for (const [name, value] of Object.entries(tree)) {
    try {
      rules.set(name, { text: typeof value === 'string' ? value : JSON.stringify(value), check: parseRule(name, value) });
    } catch (cause) { throw cause instanceof PolicyError ? new PolicyError(`${path}: ${cause.message}`) : cause; }
  }
  return rules;
}

export async function readAbout(path: string): Promise<Map<string, RuleAbout>> {
  const parsed = aboutSchema.safeParse(parseYaml(path, await readFile(path, 'utf8')) ?? {});
  if (!parsed.success) throw new PolicyError(`${path}: ${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`);
  return new Map(Object.entries(parsed.data));
}

function parseYaml(path: string, text: string): unknown {
  try { return parse(text); } catch (cause) { throw new PolicyError(`${path}: ${(cause as Error).message.split('\n')[0]}`, { cause }); }
}
