import { operation, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, micros, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { services, type ServiceRow } from './store.ts';

const Update = shape('HostUpdate', z.record(z.string(), z.string()));
interface Sum { project_id: string; n: number; gb: number }

/** `/os-hosts`: the older view of services, and what projects hold on one. */
export const hostRoutes = (rt: Runtime): Operation[] => {
  const all = async () => await services(rt.db, rt.settings.volume.serviceDownSeconds) as ServiceRow[];
  const sums = (table: 'volumes' | 'volume_snapshots', host: string): Promise<Sum[]> => {
    const q = table === 'volumes' ? rt.db('volumes') : rt.db('volume_snapshots').join('volumes', 'volumes.id', 'volume_snapshots.volume_id');
    return q.where(w => { void w.where('volumes.host', host).orWhereLike('volumes.host', `${host}#%`).orWhereLike('volumes.host', `${host}@%`); }).groupBy(`${table}.project_id`).select(`${table}.project_id`).count('* as n').sum(`${table}.size as gb`) as unknown as Promise<Sum[]>;
  };
  return [
    operation({
      id: 'hosts.list', summary: 'List hosts', method: 'GET', path: '/os-hosts', policy: 'volume_extension:hosts',
      // Hosts of volumes first: clients take the first one for such (openstacksdk's own tests do).
      handler: async () => ({ hosts: (await all()).toSorted((a, b) => Number(b.binary_name === 'cinder-volume') - Number(a.binary_name === 'cinder-volume')).map(s => ({ host_name: s.host, service: s.binary_name, zone: s.availability_zone, 'service-status': s.up ? 'available' : 'unavailable', 'service-state': s.disabled ? 'disabled' : 'enabled', 'last-update': micros(s.seen_at) })) }),
    }),
    operation({
      id: 'hosts.show', summary: 'Show what a host holds', method: 'GET', path: '/os-hosts/:host', policy: 'volume_extension:hosts',
      handler: async ctx => {
        const host = ctx.params['host'] ?? '';
        if (!(await all()).some(s => s.host === host || s.host.split('@')[0] === host)) throw new NotFound(`Host ${host} could not be found.`);
        const [volumes, snapshots] = await Promise.all([sums('volumes', host), sums('volume_snapshots', host)]);
        const row = (project: string, v: { n: number; gb: number }, s: { n: number; gb: number }) => ({ resource: { host, project, volume_count: String(v.n), total_volume_gb: String(v.gb), snapshot_count: String(s.n), total_snapshot_gb: String(s.gb) } });
        const none = { n: 0, gb: 0 };
        const total = (list: readonly Sum[]) => list.reduce((t, s) => ({ n: t.n + s.n, gb: t.gb + s.gb }), none);
        const projects = [...new Set([...volumes, ...snapshots].map(s => s.project_id))].toSorted();
        return { host: [row('(total)', total(volumes), total(snapshots)), ...projects.map(p => row(p, volumes.find(v => v.project_id === p) ?? none, snapshots.find(s => s.project_id === p) ?? none))] };
      },
    }),
    operation({
      id: 'hosts.update', summary: 'Enable or disable a host', method: 'PUT', path: '/os-hosts/:host', policy: 'volume_extension:hosts', body: Update, status: 200,
      handler: async ctx => {
        const host = ctx.params['host'] ?? '';
        const bad = Object.keys(ctx.body).filter(k => k !== 'status');
        if (bad.length > 0) throw new BadRequest(`Invalid update setting: '${bad[0]}'`);
        const status = (ctx.body['status'] ?? '').toLowerCase();
        if (!['enable', 'disable'].includes(status)) throw new BadRequest(`Invalid status: '${ctx.body['status'] ?? ''}'`);
        const changed = await rt.db('volume_services').where({ host }).update({ disabled: status === 'disable' });
        if (changed === 0) throw new NotFound(`Host ${host} could not be found.`);
        return { host, status: `${status}d` };
      },
    }),
  ];
};
