"""Management commands."""

import json
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from tenants.models import UisConnection

pytestmark = pytest.mark.sql


def run_command(name, *args):
    out = StringIO()
    call_command(name, *args, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def stored():
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token FROM tenants_uisconnection")
        return cursor.fetchone()[0]


def test_reencrypt_keys_uses_the_first_key(tenant, settings):
    old = settings.FIELD_ENCRYPTION_KEYS
    before, new = stored(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *old]
    assert UisConnection.objects.get().access_token == "uis-token"
    lines = run_command("reencrypt_keys")
    assert {"model": "tenants.UisConnection", "rows": 1} in lines
    assert stored() != before
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert UisConnection.objects.get().access_token == "uis-token"


def test_missing_encryption_key_raises(tenant, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
        UisConnection.objects.get()


def test_make_encryption_key_prints_a_valid_key():
    Fernet(run_command("make_encryption_key")[0]["key"])


def test_setup_schedules_restores_ours_and_deletes_others(db):
    from django_q.models import Schedule

    Schedule.objects.filter(func="telephony.tasks.enqueue_due_work").update(minutes=50)
    Schedule.objects.create(func="gone.tasks.forgotten", name="gone")
    lines = run_command("setup_schedules")
    assert {"task": "telephony.tasks.enqueue_due_work", "minutes": 1} in lines
    assert Schedule.objects.get(func="telephony.tasks.enqueue_due_work").minutes == 1
    assert not Schedule.objects.filter(name="gone").exists()
