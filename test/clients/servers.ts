import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plainCall, silent } from '@cumulet/drivers';
import { libvirtHypervisor } from '@cumulet/drivers/hypervisor';
import { beforeAll, expect, test } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { eventually, runner } from '../harness/processes.ts';
import { json, old, refused, session, status, table } from './said.ts';

interface Server { readonly id: string; readonly status: string; readonly addresses: Record<string, string[]> }

export function aboutServers(cloud: () => TestCloud, folder: string): void {
  const key = join(folder, 'key');
  let server: Server;
  let address: string;

  const ssh = async (...command: string[]) => (await runner.run('ssh', [
    '-i', key, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', '-o', 'LogLevel=ERROR', `root@${address}`, ...command,
  ], { timeoutMs: 30_000 })).stdout.trim();
  /** Until the guest lets us in; its boot takes ten seconds where there is no KVM. */
  const booted = (timeoutMs = 90_000) => eventually(async () => (await ssh('cut -d. -f1 /proc/uptime')) !== '', timeoutMs, 'the guest');
  const consoleLog = () => cloud().openstack('console', 'log', 'show', server.id);
  /** The guests that libvirt knows, running or not. */
  const domains = async () => {
    const { hypervisor } = JSON.parse(readFileSync(join(cloud().home, 'run', 'settings.json'), 'utf8')) as { hypervisor: { libvirtSocket: string } };
    const libvirt = await libvirtHypervisor({ socketPath: hypervisor.libvirtSocket, instancesDir: join(cloud().home, 'instances'), virtType: 'qemu', runner, log: silent });
    return libvirt.list(plainCall()).then((guests) => guests.map((guest) => guest.id)).finally(() => libvirt.close());
  };

  beforeAll(async () => {
    await runner.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    writeFileSync(join(folder, 'user-data'), '#!/bin/sh\necho "user data says $((6 * 7)) on $(hostname)"\n');
  });

  test('server create --wait: ACTIVE with an address; the console shows the boot and the user data', async () => {
    const c = cloud();
    expect(await c.openstack('keypair', 'create', '--public-key', `${key}.pub`, 'mine', '-f', 'value', '-c', 'name')).toBe('mine');
    server = await json<Server>(c.openstack('server', 'create', '--image', 'tiny', '--flavor', 'm1.nano', '--network', 'private', '--key-name', 'mine', '--user-data', join(folder, 'user-data'), '--wait', 'first', '-f', 'json'));
    expect(server.status).toBe('ACTIVE');
    address = server.addresses['private']?.[0] ?? '';
    expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    await expect.poll(consoleLog, { timeout: 90_000, interval: 1000 }).toMatch(/GUEST-READY host=first/);
    const text = await consoleLog();
    expect(text).toContain('user data says 42 on first');
    expect(text).toContain(server.id);
  });

  test('ssh from the host with the key', async () => {
    await booted();
    expect(await ssh('hostname')).toBe('first');
    expect(await ssh('cat /var/lib/user-data')).toBe(readFileSync(join(folder, 'user-data'), 'utf8').trim());
  });

  test('a volume is plugged in, seen and written by the guest, and unplugged', async () => {
    const c = cloud();
    const disks = async () => (await ssh('cat /proc/partitions')).split('\n').map((line) => line.trim().split(/\s+/)).filter((words) => /^[sv]d[a-z]$/.test(words[3] ?? ''));
    const before = await disks();
    await c.openstack('volume', 'create', '--size', '1', 'plugged');
    await status(c, 'volume', 'plugged', 'available');
    await c.openstack('server', 'add', 'volume', 'first', 'plugged');
    await status(c, 'volume', 'plugged', 'in-use');
    await eventually(async () => (await disks()).length === before.length + 1, 20_000, 'the disk in the guest');
    const added = (await disks()).find((disk) => !before.some((b) => b[3] === disk[3])) as string[];
    expect(added[2]).toBe(String(1024 * 1024));
    await ssh(`echo written-by-guest | dd of=/dev/${added[3]} bs=512 conv=sync 2>/dev/null && sync`);
    expect(await refused(c, 'openstack', ['volume', 'delete', 'plugged'])).toMatch(/status must be available/);
    await c.openstack('server', 'remove', 'volume', 'first', 'plugged');
    await status(c, 'volume', 'plugged', 'available');
    expect(await disks()).toEqual(before);
    await c.openstack('volume', 'delete', 'plugged');
  });

  test('a floating IP leads to the guest', async () => {
    const c = cloud();
    const { floating_ip_address: floating } = await json<{ floating_ip_address: string }>(c.openstack('floating', 'ip', 'create', 'public', '-f', 'json'));
    await c.openstack('server', 'add', 'floating', 'ip', 'first', floating);
    expect(await c.openstack('server', 'show', 'first', '-f', 'value', '-c', 'addresses')).toContain(floating);
    const fixed = address;
    address = floating;
    await eventually(async () => (await ssh('hostname')) === 'first', 20_000, 'ssh by the floating address').finally(() => { address = fixed; });
    await c.openstack('server', 'remove', 'floating', 'ip', 'first', floating);
    await c.openstack('floating', 'ip', 'delete', floating);
  });

  test('lock: others are refused in the words of nova, an administrator is not', async () => {
    const c = cloud();
    await old(c, 'nova', ['lock', server.id], 'admin');
    const [reboot, remove, unlock] = await Promise.all([refused(c, 'nova', ['reboot', server.id]), refused(c, 'nova', ['delete', server.id]), refused(c, 'nova', ['unlock', server.id])]);
    expect(reboot).toMatch(new RegExp(`Instance ${server.id} is locked \\(HTTP 409\\) \\(Request-ID: req-[0-9a-f-]{36}\\)`));
    expect(reboot).toContain('ERROR (CommandError): Unable to reboot the specified server(s).');
    expect(remove).toMatch(new RegExp(`Instance ${server.id} is locked \\(HTTP 409\\)`));
    expect(unlock).toMatch(/ERROR \(Forbidden\): Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed. \(HTTP 403\) \(Request-ID: req-/);
    await old(c, 'nova', ['unlock', server.id], 'admin');
    await c.openstack('server', 'lock', 'first');
    expect(await refused(c, 'openstack', ['server', 'stop', 'first'])).toMatch(/is locked/);
    await c.openstack('server', 'unlock', 'first');
  });

  test('stop, start, reboot', async () => {
    const c = cloud();
    await ssh('echo kept >/root/kept && sync');
    await c.openstack('server', 'stop', 'first');
    await status(c, 'server', 'first', 'SHUTOFF');
    expect(await refused(c, 'openstack', ['server', 'stop', 'first'])).toMatch(/Cannot 'stop' instance [0-9a-f-]{36} while it is in vm_state stopped/);
    await c.openstack('server', 'start', 'first');
    await status(c, 'server', 'first', 'ACTIVE');
    await booted();
    expect(await ssh('cat /root/kept')).toBe('kept');
    const boot = await ssh('cat /proc/sys/kernel/random/boot_id');
    await c.openstack('server', 'reboot', '--wait', 'first');
    await eventually(async () => (await ssh('cat /proc/sys/kernel/random/boot_id')) !== boot, 90_000, 'another boot');
  });

  test('nova: shelved it is in no hypervisor and an image, unshelved it goes on', async () => {
    const c = cloud();
    expect(await domains()).toContain(server.id);
    await old(c, 'nova', ['shelve', server.id]);
    await status(c, 'server', 'first', 'SHELVED_OFFLOADED');
    const fields = table(await old(c, 'nova', ['list', '--all-tenants', '--fields', 'name,status,instance_name'], 'admin'));
    expect(fields).toMatchObject([{ ID: server.id, Name: 'first', Status: 'SHELVED_OFFLOADED', 'Instance Name': expect.stringMatching(/^instance-[0-9a-f]{8}$/) as string }]);
    expect(await domains()).toEqual([]);
    expect(table(await old(c, 'glance', ['image-list'])).map((image) => image['Name'])).toContain('first-shelved');
    await old(c, 'nova', ['unshelve', server.id]);
    await status(c, 'server', 'first', 'ACTIVE', 90_000);
    expect(table(await old(c, 'nova', ['list']))).toMatchObject([{ ID: server.id, Name: 'first', Status: 'ACTIVE', 'Task State': '-', 'Power State': 'Running', Networks: `private=${address}` }]);
    expect(await old(c, 'glance', ['image-list'])).not.toContain('first-shelved');
    await booted();
    expect(await ssh('cat /root/kept')).toBe('kept');
  });

  test('nova: a rescued server boots another disk and has its own as the second', async () => {
    const c = cloud();
    expect(table(await old(c, 'nova', ['rescue', '--image', 'tiny', server.id]))).toMatchObject([{ Property: 'adminPass', Value: expect.stringMatching(/^\w{8,}$/) as string }]);
    await status(c, 'server', 'first', 'RESCUE', 90_000);
    await booted();
    await ssh('mkdir -p /tmp/own && mount /dev/vdb2 /tmp/own');
    expect(await ssh('cat /tmp/own/root/kept')).toBe('kept');
    await ssh('echo repaired >/tmp/own/root/kept && umount /tmp/own');
    await old(c, 'nova', ['unrescue', server.id]);
    await status(c, 'server', 'first', 'ACTIVE', 90_000);
    await eventually(async () => (await ssh('cat /root/kept')) === 'repaired', 90_000, 'the repaired disk');
  });

  test('deleted, nothing of it is left', async () => {
    const c = cloud();
    await c.openstack('server', 'delete', '--wait', 'first');
    expect(await c.openstack('server', 'list', '-f', 'value')).toBe('');
    expect(await refused(c, 'nova', ['show', server.id])).toMatch(/No server with a name or ID/);
    expect(await domains()).toEqual([]);
    const left = await session(c, ['port list --device-owner compute:nova -f value', 'volume list -f value', 'keypair delete mine']);
    expect(left.replaceAll('(openstack)', '').trim()).toBe('');
  });
}
