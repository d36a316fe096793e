import type { Call } from '../../call.ts';
import type { Host } from './host.ts';
import type { Names } from './names.ts';

interface ListedRule {
  readonly rule?: { readonly handle: number; readonly comment?: string };
}
interface ListedChain {
  readonly chain?: { readonly family: string; readonly table: string; readonly name: string; readonly hook?: string; readonly policy?: string };
}

/**
 * Connection tracking on bridges (br_netfilter) takes bridged packets through the host's FORWARD chain as well, and Docker, for
 * one, sets that chain's policy to drop. An accept in a table of ours cannot undo another table's drop, so in that case one rule for
 * our own bridges goes to the head of that chain; it is found again by its comment.
 */
export async function letBridgedPass(host: Host, call: Call, n: Names): Promise<void> {
  const chain = await droppingForward(host, call);
  if (!chain || (await ourHandles(host, call, n)).length > 0) return;
  const bridges = `"${n.prefix}br-*"`;
  await host.nft(call, `insert rule ip filter FORWARD iifname ${bridges} oifname ${bridges} accept comment "${n.table}"\n`);
  call.log.info({ chain: 'ip filter FORWARD' }, "The host's firewall drops what bridges forward; a rule lets this cloud's bridges pass");
}

export async function takeBackPassage(host: Host, call: Call, n: Names): Promise<void> {
  const handles = await ourHandles(host, call, n);
  if (handles.length > 0) await host.nft(call, handles.map(h => `delete rule ip filter FORWARD handle ${h}\n`).join(''));
}

async function droppingForward(host: Host, call: Call): Promise<boolean> {
  const listed = await nftJson<ListedChain>(host, call, ['list', 'chains', 'ip']);
  return listed.some(({ chain: c }) => c?.table === 'filter' && c.name === 'FORWARD' && c.hook === 'forward' && c.policy === 'drop');
}

async function ourHandles(host: Host, call: Call, n: Names): Promise<number[]> {
  const chains = await nftJson<ListedChain>(host, call, ['list', 'chains', 'ip']);
  if (!chains.some(({ chain: c }) => c?.table === 'filter' && c.name === 'FORWARD')) return [];
  const rules = await nftJson<ListedRule>(host, call, ['-a', 'list', 'chain', 'ip', 'filter', 'FORWARD']);
  return rules.flatMap(({ rule }) => rule?.comment === n.table ? [rule.handle] : []);
}

/** Ask `nft -j`; the parts that are of no interest are absent from `T`. */
export async function nftJson<T>(host: Host, call: Call, args: readonly string[]): Promise<T[]> {
  const text = await host.run(call, 'nft', ['-j', ...args], { maxOutputBytes: 64 << 20 });
  return text.trim() === '' ? [] : (JSON.parse(text) as { nftables: T[] }).nftables;
}
