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


def said(name, *args):
    out = StringIO()
    call_command(name, *args, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def stored():
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token FROM tenants_uisconnection")
        return cursor.fetchone()[0]


def test_keys_are_encrypted_anew_with_the_first_key(tenant, settings):
    old = settings.FIELD_ENCRYPTION_KEYS
    before, new = stored(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *old]
    assert UisConnection.objects.get().access_token == "uis-token"
    lines = said("reencrypt_keys")
    assert {"model": "tenants.UisConnection", "rows": 1} in lines
    assert stored() != before
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert UisConnection.objects.get().access_token == "uis-token"


def test_missing_key_is_named_not_guessed(tenant, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
        UisConnection.objects.get()


def test_encryption_key_that_is_made_is_one():
    Fernet(said("make_encryption_key")[0]["key"])


def test_schedules_are_put_right(db):
    from django_q.models import Schedule

    Schedule.objects.filter(func="telephony.tasks.enqueue_due_work").update(minutes=50)
    Schedule.objects.create(func="gone.tasks.forgotten", name="gone")
    lines = said("setup_schedules")
    assert {"task": "telephony.tasks.enqueue_due_work", "minutes": 1} in lines
    assert Schedule.objects.get(func="telephony.tasks.enqueue_due_work").minutes == 1
    assert not Schedule.objects.filter(name="gone").exists()
