/** What stands in a log where a secret was. */
const HIDDEN = '***';

const KEY = String.raw`(?:password|passwd|secret|token|chap_?password|auth_?key|keyring|access_?key|api_?key)`;
const FLAG = new RegExp(String.raw`^--?(?:[a-z0-9]+[-_])*${KEY}(?:[-_](?:data|value))?$`, 'i');
const PAIR = new RegExp(String.raw`(\b(?:[a-z0-9]+[-_])*${KEY}\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"']+)`, 'gi');
/** `scheme://user:password@host`. */
const USERINFO = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:)[^\s/@]+(@)/gi;

/** Text for a log: known secrets, `password=…` pairs and passwords in URLs are blanked. */
export function scrub(text: string, secrets: readonly string[] = []): string {
  let out = text;
  for (const secret of secrets) if (secret !== '') out = out.replaceAll(secret, HIDDEN);
  return out.replace(USERINFO, `$1${HIDDEN}$2`).replace(PAIR, `$1${HIDDEN}`);
}

/** The same for an argument list, where `--password VALUE` is two arguments. */
export function scrubArgs(args: readonly string[], secrets: readonly string[] = []): string[] {
  return args.map((arg, at) => (at > 0 && FLAG.test(args[at - 1] ?? '') ? HIDDEN : scrub(arg, secrets)));
}
