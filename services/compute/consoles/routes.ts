import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, NotFound, shape, within, type Change } from '@cumulet/wire';
import { z } from 'zod';
import { askHost } from '../actions/console.ts';
import { path } from '../actions/power.ts';
import type { Compute } from '../compute.ts';
import { refuseNowhere, serverFor } from '../servers/act.ts';
import { hostIsUp } from '../servers/store.ts';
import { issueToken, peekToken, type ConsoleTarget } from './tokens.ts';


const Remote = shape('RemoteConsole', z.strictObject({ remote_console: z.strictObject({ protocol: z.enum(['vnc', 'spice', 'rdp', 'serial', 'mks']), type: z.enum(['novnc', 'xvpvnc', 'rdp-html5', 'spice-html5', 'spice-direct', 'serial', 'webmks']) }) }));
export const changes: Change[] = [
  { at: '2.8', shape: 'RemoteConsole', why: 'MKS consoles', was: newer => within(newer, ['remote_console'], r => r.safeExtend({ protocol: z.enum(['vnc', 'spice', 'rdp', 'serial']), type: z.enum(['novnc', 'xvpvnc', 'rdp-html5', 'spice-html5', 'serial']) })) },
  { at: '2.31', trait: 'console tokens of every kind', why: 'keys of every kind of console are explained' },
  { at: '2.99', shape: 'RemoteConsole', why: 'SPICE without a proxy', was: newer => within(newer, ['remote_console'], r => r.safeExtend({ type: z.enum(['novnc', 'xvpvnc', 'rdp-html5', 'spice-html5', 'serial', 'webmks']) })) },
];
const old = (action: string, types: [string, ...string[]]) => shape(`Action ${action}`, z.strictObject({ [action]: z.strictObject({ type: z.enum(types) }) }));
const actions = [['os-getVNCConsole', ['novnc', 'xvpvnc']], ['os-getSPICEConsole', ['spice-html5']], ['os-getRDPConsole', ['rdp-html5']], ['os-getSerialConsole', ['serial']]] as const;

export const routes = (c: Compute): Operation[] => {
  const { db, clock, settings } = c.rt;
  const make = async (ctx: Context, type: string): Promise<string> => {
    const row = await serverFor(ctx, db);
    const unavailable = () => new BadRequest(`Unavailable console type ${type}.`);
    if (type !== 'novnc' && type !== 'serial') throw unavailable();
    refuseNowhere(row);
    if (row.vm_state === 'building' || row.launched_at === null || !await hostIsUp(db, row.host)) throw new Conflict(`Instance ${row.id} is not ready`);
    const target = await askHost<ConsoleTarget>(c, ctx, row.host, row.id, { serverId: row.id, what: type === 'novnc' ? 'vnc' : 'serial' }, unavailable);
    const token = await issueToken(db, { server_id: row.id, kind: type, host: row.host, target, origin: new URL(ctx.baseUrl).origin }, new Date(clock() + settings.consoles.tokenSeconds * 1000));
    return type === 'novnc' ? `${ctx.baseUrl}/console/vnc.html?path=console%2Fsocket%3Ftoken%3D${token}` : `${ctx.baseUrl.replace(/^http/, 'ws')}/console/socket?token=${token}`;
  };
  return [
    operation({
      id: 'remote_consoles.create', summary: 'Open a console', method: 'POST', path: '/servers/:server_id/remote-consoles', since: '2.6', policy: 'os_compute_api:os-remote-consoles', permit: 'object', body: Remote,
      handler: async ctx => {
        const { protocol, type } = ctx.body.remote_console;
        const pairs: Readonly<Record<string, readonly string[]>> = { vnc: ['novnc', 'xvpvnc'], spice: ['spice-html5', 'spice-direct'], rdp: ['rdp-html5'], serial: ['serial'], mks: ['webmks'] };
        if (!pairs[protocol]?.includes(type)) throw new BadRequest(`Invalid console type ${type}`);
        return { remote_console: { protocol, type, url: await make(ctx as never, type) } };
      },
    }),
    ...actions.map(([action, types]) => operation({
      id: `servers.${action}`, summary: 'Open a console (older name)', method: 'POST', path, action, until: '2.5', policy: 'os_compute_api:os-remote-consoles', permit: 'object', body: old(action, [...types] as [string, ...string[]]),
      handler: async ctx => { const { type } = (ctx.body as Record<string, { type: string }>)[action] as { type: string }; return { console: { type, url: await make(ctx as never, type) } }; },
    })),
    operation({
      id: 'console_tokens.show', summary: 'Where a console\'s key leads', method: 'GET', path: '/os-console-auth-tokens/:token', policy: 'os_compute_api:os-console-auth-tokens',
      handler: async ctx => {
        const row = await peekToken(db, ctx.params['token'] ?? '');
        if (!row) throw new NotFound('Token not found');
        // Before 2.31 only the consoles of Hyper-V had this, and they are gone.
        if (!ctx.dialect.has('console tokens of every kind')) throw new BadRequest('The server could not comply with the request since it is either malformed or otherwise incorrect.');
        return { console: { instance_uuid: row.server_id, host: 'host' in row.target ? row.target.host : '127.0.0.1', port: 'port' in row.target ? row.target.port : 0, internal_access_path: null } };
      },
    }),
  ];
};
