import type { Browser } from './browser.ts';

/** What Horizon said where it should not have: the page and the complaint. */
export interface Complaint { readonly where: string; readonly said: string }

/** What opens something that changes the session or the site, or leads out. */
const left = /\/(logout|switch|download|openrc|clouds\.yaml|ec2|delete|recreate_ec2_credentials)|\/(vnc|spice|rdp|mks|serial)\b|auto_console|[?&]action=|%7B%7B|\/None$|\.(css|js|png|svg|ico)$/;
/**
 * Horizon's own faults, whatever cloud is behind it: templates that it does not bring, a page that needs what another left in the session, and a button for what the network service does not
 * say that it can (`dhcp_agent_scheduler`).
 */
const broken = /^\/admin\/rbac_policies\/[^/]+\/update$|\/backups\/[^/]+\/restore\/|^\/identity\/application_credentials\/success\/$|\/agents\/add/;

/**
 * Follows every link below `starts` that a user could click: panels, details, tabs, and forms without sending them. What differs only in an id is opened twice at most.
 * Complaints are pages that are not 200, and errors that a page tells.
 */
export async function walk(browser: Browser, starts: readonly string[]): Promise<{ readonly pages: number; readonly complaints: readonly Complaint[] }> {
  const queue = [...starts];
  const seen = new Set(queue);
  const kinds = new Map<string, number>();
  const complaints: Complaint[] = [];
  let pages = 0;
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    const page = await browser.get(path);
    pages++;
    if (page.status !== 200) complaints.push({ where: path, said: `HTTP ${page.status}` });
    complaints.push(...page.messages.filter(m => /^(error|warning)/.test(m)).map(said => ({ where: path, said })));
    for (const next of linksOf(page.text, path)) {
      if (seen.has(next) || left.test(next) || broken.test(next)) continue;
      seen.add(next);
      const kind = next.replaceAll(/[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}/g, 'ID').replaceAll(/(_marker|marker|prev_marker)=[^&]*/g, '');
      const times = kinds.get(kind) ?? 0;
      kinds.set(kind, times + 1);
      if (times < 2) queue.push(next);
    }
  }
  return { pages, complaints };
}

/** Links, and the tabs that scripts would load. */
function linksOf(html: string, path: string): string[] {
  const links = [...html.matchAll(/<a\b[^>]*\bhref="([^"#][^"]*)"/g)].map(m => (m[1] ?? '').replaceAll('&amp;', '&'));
  // Only the tab that is shown comes with the page.
  const tabs = [...html.matchAll(/href="(\?tab=[^"]+)"/g)].map(m => m[1] ?? '');
  return [...links, ...tabs].flatMap(link => {
    if (!URL.canParse(link, `http://here${path}`)) return [];
    const url = new URL(link, `http://here${path}`);
    return url.host === 'here' && /^\/(project|admin|identity|settings)\//.test(url.pathname) ? [`${url.pathname}${url.search}`] : [];
  });
}
