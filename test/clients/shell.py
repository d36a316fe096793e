"""Runs Debian's unmodified cinder and openstack commands in one process: what takes long is that Python loads them.

A line of JSON on stdin is one command: {"program": "cinder", "args": [...], "env": {"OS_...": ...}}; a line on stdout its outcome.
"""
import contextlib
import io
import json
import logging
import os
import sys


def cinder(args):
    from cinderclient import shell
    sys.argv = ['cinder', *args]
    return shell.main()


def nova(args):
    from novaclient import shell
    return shell.main(args)


def glance(args):
    from glanceclient import shell
    sys.argv = ['glance', *args]
    return shell.main()


def openstack(args):
    from openstackclient import shell
    return shell.main(args)


def glance(args):
    from glanceclient import shell
    sys.argv = ['glance', *args]
    return shell.main()


def openstack(args):
    from openstackclient import shell
    from openstackclient.common import clientmanager
    # Clients are kept by class, made for one user: the next command may be another's.
    for known in clientmanager.ClientManager.__mro__:
        for cached in vars(known).values():
            if hasattr(cached, '_handle'):
                cached._handle = None
    return shell.main(args)


def brick(args):
    """What `cinder local-attach` of python-brick-cinderclient-ext does: a volume on this host, by os-brick."""
    from cinderclient import client
    from keystoneauth1 import session
    from keystoneauth1.identity import v3
    from os_brick.initiator import connector
    verb, volume_id = args
    env = os.environ
    auth = v3.Password(env['OS_AUTH_URL'], username=env['OS_USERNAME'], password=env['OS_PASSWORD'], project_name=env['OS_PROJECT_NAME'],
                       user_domain_name=env.get('OS_USER_DOMAIN_NAME', 'Default'), project_domain_name=env.get('OS_PROJECT_DOMAIN_NAME', 'Default'))
    cinder_api = client.Client('3.44', session=session.Session(auth))
    if verb == 'local-attach':
        attachment = cinder_api.attachments.create(volume_id, {'host': env['BRICK_HOST']}, None)
        info = attachment['connection_info']
        device = connector.InitiatorConnector.factory(info['driver_volume_type'].upper(), None).connect_volume(info)
        cinder_api.attachments.complete(attachment['id'])
        print(json.dumps({'path': device['path'], 'type': device['type'], 'attachment': attachment['id']}))
    else:
        for attachment in cinder_api.attachments.list(search_opts={'volume_id': volume_id}):
            cinder_api.attachments.delete(attachment.id)


programs = {'cinder': cinder, 'nova': nova, 'glance': glance, 'openstack': openstack, 'brick': brick}
for line in sys.stdin:
    asked = json.loads(line)
    for name in [n for n in os.environ if n.startswith('OS_')]:
        del os.environ[name]
    os.environ.update(asked['env'])
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = programs[asked['program']](asked['args']) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except Exception as error:
            err.write(f'{type(error).__name__}: {error}')
            code = 1
    logging.getLogger().handlers.clear()
    print(json.dumps({'code': code, 'out': out.getvalue(), 'err': err.getvalue()}), flush=True)
