/** What a browser does for Horizon without running scripts: cookies, redirects, forms with their CSRF token, and the calls that its scripts make. */
export interface Page { readonly path: string; readonly status: number; readonly text: string; /** What Horizon told the user: `error: Unable to retrieve …`. */ readonly messages: readonly string[] }
export type Field = string | number | boolean | readonly string[];

export class Browser {
  readonly #site: string;
  readonly #cookies = new Map<string, string>();

  /** `site`: `http://127.0.0.1:8000`. */
  constructor(site: string) { this.#site = site; }

  async get(path: string, headers: Record<string, string> = {}): Promise<Page> {
    return await this.#ask('GET', path, { headers });
  }

  /** A call of Horizon's scripts; the reply's JSON, or undefined when it has none. */
  async rest(method: string, path: string, body?: object): Promise<{ readonly status: number; readonly value: unknown; readonly text: string }> {
    const page = await this.#ask(method, `/api/${path}`, {
      headers: { 'x-requested-with': 'XMLHttpRequest', 'x-csrftoken': this.#cookies.get('csrftoken') ?? '', referer: this.#site, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    let value: unknown;
    try { value = JSON.parse(page.text) as unknown; } catch { value = undefined; }
    return { status: page.status, value, text: page.text };
  }

  /** Opens a form, fills in `fields` over what it offers, and sends it. A field named `x~` takes the first choice whose label has the value in it. */
  async submit(path: string, fields: Readonly<Record<string, Field>>): Promise<Page> {
    const page = await this.get(path, { 'x-requested-with': 'XMLHttpRequest' });
    if (page.status !== 200) return page;
    const form = formOf(page.text, Object.keys(fields)[0] ?? '');
    if (form === undefined) return { ...page, messages: [...page.messages, `error: no form on ${path}`] };
    const values = new Map<string, Field>(form.values);
    for (const [name, value] of Object.entries(fields)) {
      if (!name.endsWith('~')) { values.set(name, value); continue; }
      const choice = form.choices.get(name.slice(0, -1))?.find(c => c.label.includes(String(value)));
      if (choice === undefined) return { ...page, messages: [...page.messages, `error: ${path} offers no ${name.slice(0, -1)} “${String(value)}”`] };
      values.set(name.slice(0, -1), choice.value);
    }
    const sent = await this.post(form.action === '' ? path : form.action, Object.fromEntries(values));
    // A form that was refused comes back with complaints in it.
    const complaints = [...sent.text.matchAll(/<(?:span|div|li|ul)[^>]*class="[^"]*(?:help-block|errorlist|alert-danger)[^"]*"[^>]*>([\s\S]*?)<\/(?:span|div|li|ul)>/g)].map(m => said(m[1] ?? '')).filter(m => m !== '' && !m.includes('{$'));
    return sent.status === 200 && !sent.text.includes('<html') ? { ...sent, messages: [...sent.messages, ...complaints.map(c => `error: ${c}`)] } : sent;
  }

  /** `delete__ID` and the like, as the buttons of a table send it. */
  async act(path: string, action: string): Promise<Page> {
    return await this.post(path, { action });
  }

  async post(path: string, fields: Readonly<Record<string, Field>>): Promise<Page> {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(fields)) {
      for (const one of Array.isArray(value) ? value as readonly string[] : [value]) if (one !== false) body.append(name, one === true ? 'on' : String(one));
    }
    body.set('csrfmiddlewaretoken', this.#cookies.get('csrftoken') ?? '');
    return await this.#ask('POST', path, { headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-requested-with': 'XMLHttpRequest', referer: this.#site }, body: body.toString() });
  }

  async logIn(username: string, password: string): Promise<Page> {
    await this.get('/auth/login/');
    return await this.post('/auth/login/', { username, password, region: 'default', next: '/' });
  }

  async #ask(method: string, path: string, init: { headers: Record<string, string>; body?: string }): Promise<Page> {
    const messages: string[] = [];
    for (let hops = 0; hops < 6; hops++) {
      const reply = await fetch(new URL(path, this.#site), { method, redirect: 'manual', ...init, headers: { ...init.headers, cookie: [...this.#cookies].map(([k, v]) => `${k}=${v}`).join('; ') } });
      for (const cookie of reply.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
        this.#cookies.set(name, value);
      }
      const told = reply.headers.get('x-horizon-messages');
      if (told !== null) messages.push(...(JSON.parse(told) as [string, string][]).map(([level, text]) => `${level}: ${said(text)}`));
      const to = reply.headers.get('location') ?? reply.headers.get('x-horizon-location');
      const text = await reply.text();
      if (to === null || reply.status === 201) {
        messages.push(...[...text.matchAll(/<div class="alert alert-(\w+) alert-dismissable fade in">([\s\S]*?)<\/p>/g)].map(m => `${(m[1] ?? '').replace('danger', 'error')}: ${said(m[2] ?? '')}`));
        return { path, status: reply.status, text, messages };
      }
      [method, path, init] = ['GET', to, { headers: {} }];
    }
    throw new Error(`${path} redirects without end`);
  }
}

interface Form { readonly action: string; readonly values: ReadonlyMap<string, Field>; readonly choices: ReadonlyMap<string, readonly { readonly value: string; readonly label: string }[]> }

/** The form that asks for `field`, with the values that a browser would send untouched. */
function formOf(html: string, field: string): Form | undefined {
  const form = [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)].find(m => /method=["']post/i.test(m[1] ?? '') && (m[2] ?? '').includes(`name="${field.replace('~', '')}"`));
  if (form === undefined) return undefined;
  const [, head = '', body = ''] = form;
  const values = new Map<string, Field>();
  const choices = new Map<string, { value: string; label: string }[]>();
  for (const [, tag = ''] of body.matchAll(/<input\b([^>]*)>/g)) {
    const name = attribute(tag, 'name');
    const type = attribute(tag, 'type');
    if (name === undefined || type === 'submit' || type === 'file') continue;
    if (type === 'checkbox' || type === 'radio') {
      if (/\bchecked\b/.test(tag)) values.set(name, attribute(tag, 'value') ?? 'on');
    } else values.set(name, attribute(tag, 'value') ?? '');
  }
  for (const [, tag = '', text = ''] of body.matchAll(/<textarea\b([^>]*)>([\s\S]*?)<\/textarea>/g)) values.set(attribute(tag, 'name') ?? '', plain(text).trimStart());
  for (const [, tag = '', text = ''] of body.matchAll(/<select\b([^>]*)>([\s\S]*?)<\/select>/g)) {
    const name = attribute(tag, 'name') ?? '';
    const options = [...text.matchAll(/<option\b([^>]*)>([\s\S]*?)<\/option>/g)].map(([, option = '', label = '']) => ({ value: attribute(option, 'value') ?? '', label: said(label), selected: /\bselected\b/.test(option) }));
    choices.set(name, options);
    const multiple = /\bmultiple\b/.test(tag);
    const chosen = options.filter(o => o.selected).map(o => o.value);
    if (multiple) { if (chosen.length > 0) values.set(name, chosen); } else values.set(name, chosen[0] ?? options[0]?.value ?? '');
  }
  return { action: plain(attribute(head, 'action') ?? ''), values, choices };
}

const attribute = (tag: string, name: string): string | undefined => {
  const found = new RegExp(`\\b${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(tag);
  return found === null ? undefined : plain(found[1] ?? found[2] ?? '');
};
const plain = (html: string): string => html.replaceAll('&quot;', '"').replaceAll('&#x27;', '\'').replaceAll('&#39;', '\'').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
const said = (html: string): string => plain(html.replaceAll(/<[^>]*>/g, ' ')).replaceAll(/\s+/g, ' ').trim();
