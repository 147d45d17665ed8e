"""The minimal view that receiving webhooks is compared with still fits the table."""

import pytest
from django.test import RequestFactory

from telephony.models import Notification
from tests.bench import bare


@pytest.mark.sql
def test_minimal_view_stores_a_body(tenant):
    request = RequestFactory().post("/", b"{}", content_type="application/json")
    assert bare.insert(request, tenant.uis.hook).status_code == 200
    assert Notification.objects.get().tenant == tenant
