"""Drives cinder's own backup driver (Debian's python3-cinder) without a cloud: one request as JSON on stdin, the answer on stdout.

{"driver": "posix"|"swift", "options": {option: value}, "verb": "backup"|"restore"|"delete", "chain": [backup, ...], "volume": PATH, "sizeGiB": n}
A backup is {id, volume_id, container, service_metadata, parent_id, created_at}; the last of the chain is meant.
"""
import eventlet

eventlet.monkey_patch()

import importlib
import json
import sys
from unittest import mock

from oslo_config import cfg

from cinder import context
from cinder import objects

objects.register_all()
asked = json.load(sys.stdin)
CONF = cfg.CONF
CONF([], project='cinder', default_config_files=[], default_config_dirs=[])


class Backup(dict):
    """Enough of a row: cinder reads it by key and by attribute."""

    def __init__(self, values):
        super().__init__(display_name='theirs', display_description=None, status=asked['verb'] + 'ing', size=asked['sizeGiB'], snapshot_id=None,
                         object_count=0, fail_reason=None, **values)
        self.__dict__ = self

    def save(self):
        pass

    def refresh(self):
        pass

    def as_read_deleted(self):
        return mock.MagicMock()


rows = {row['id']: Backup(row) for row in asked['chain']}
backup = rows[asked['chain'][-1]['id']]
if asked['verb'] == 'restore':
    for row in rows.values():
        row['status'] = 'restoring'

module = importlib.import_module('cinder.backup.drivers.' + asked['driver'])
for name, value in asked['options'].items():
    CONF.set_override(name, value)
driver = {'posix': 'PosixBackupDriver', 'swift': 'SwiftBackupDriver'}[asked['driver']]
with mock.patch('cinder.db.base.Base.__init__', lambda self, *_: None), \
        mock.patch('cinder.objects.Backup.get_by_id', side_effect=lambda ctxt, id: rows[id]), \
        mock.patch('cinder.volume.volume_utils.notify_about_backup_usage'):
    it = getattr(module, driver)(context.RequestContext('user', 'project', is_admin=True))
    it.db = mock.Mock()
    it.db.volume_get.return_value = {'size': asked['sizeGiB'], 'id': backup['volume_id']}
    it.get_metadata = lambda volume_id: json.dumps({'version': 2, 'volume-base-metadata': {'display_name': 'theirs'}})
    put = []
    it.put_metadata = lambda volume_id, meta: put.append(meta)
    if asked['verb'] == 'backup':
        with open(asked['volume'], 'rb') as volume:
            it.backup(backup, volume)
    elif asked['verb'] == 'restore':
        with open(asked['volume'], 'r+b') as volume:
            it.restore(backup, backup['volume_id'], volume, *asked.get('more', []))
    else:
        it.delete_backup(backup)
json.dump({'container': backup['container'], 'service_metadata': backup['service_metadata'], 'object_count': backup['object_count'], 'volume_meta': put}, sys.stdout)
