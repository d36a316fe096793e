export interface Outcome { readonly passed: string[]; readonly failed: string[]; readonly skipped: string[] }

/** What stestr printed, by test: `{0} NAME [0.1s] ... ok`. A class that could not be set up is named by its setUpClass; what `nova` says of its progress may stand before a name. */
export function outcomeOf(printed: string): Outcome {
  const result: Outcome = { passed: [], failed: [], skipped: [] };
  for (const line of printed.split('\n')) {
    const m = /(?:^|% complete)\{\d+\} (\S.*?)(?: \[[\d.]+s\])? \.\.\. (ok|FAILED|SKIPPED.*)$/.exec(line.trim());
    if (!m) continue;
    const [, name = '', said = ''] = m;
    const test = name.replace(/\[id-[^\]]*\]$/, '');
    if (said === 'ok') result.passed.push(test); else if (said === 'FAILED') result.failed.push(test); else result.skipped.push(test);
  }
  return result;
}

/** Why a test fails, by its name or (`CLASS.*`) by that of its class or module. */
export function reasonFor(test: string, expected: Readonly<Record<string, string>>): string | undefined {
  for (let name = test; name.includes('.'); name = name.slice(0, name.lastIndexOf('.'))) {
    const reason = name === test ? expected[name] : expected[`${name}.*`];
    if (reason !== undefined) return reason;
  }
  return undefined;
}
