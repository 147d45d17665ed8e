"""Calls and notifications in the admin."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from telephony.models import Call, Notification
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

pytestmark = pytest.mark.sql


@pytest.fixture
def answered(pbx, notify, crm):
    at = timezone.now() - timedelta(minutes=2)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(IVAN, 30)])
    notify(call.notification("recorded"), call.notification("call_end"))
    return call


def test_call_page_has_no_recording_url(admin_client, answered):
    call = Call.objects.get()
    html = admin_client.get(reverse("admin:telephony_call_change", args=[call.pk])).content.decode()
    assert answered.records[0] not in html
    assert "/system/media/" not in html
    assert str(call.session_id) in html


def test_notification_page_has_no_recording_url_and_no_number(admin_client, answered):
    for stored in Notification.objects.all():
        html = admin_client.get(reverse("admin:telephony_notification_change", args=[stored.pk])).content.decode()
        assert answered.records[0] not in html
        assert CONTACT not in html


def test_calls_are_found_by_number_and_session(admin_client, answered):
    url = reverse("admin:telephony_call_changelist")
    for term in (str(answered.session_id), CONTACT, CONTACT[-7:]):
        assert str(Call.objects.get().pk) in admin_client.get(url, {"q": term}).content.decode()
    assert "0 " in admin_client.get(url, {"q": "70000000000"}).content.decode()


def test_failed_call_is_retried(admin_client, crm, crm_world, notify, pbx, tenant):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"), works=False)
    task_queue.process_notifications()
    call = Call.objects.get()
    task_queue.lose()
    call.fail("CRM_REFUSED", "bad", now=timezone.now())
    call.save()
    url = reverse("admin:telephony_call_changelist")
    admin_client.post(url, {"action": "retry", "_selected_action": [call.pk]})
    task_queue.drain()
    call.refresh_from_db()
    assert (call.state, call.failed_at, len(crm.calls)) == ("UPLOADED", None, 1)


def test_uploaded_call_is_not_retried(admin_client, crm, answered):
    call = Call.objects.get()
    url = reverse("admin:telephony_call_changelist")
    admin_client.post(url, {"action": "retry", "_selected_action": [call.pk]})
    task_queue.drain()
    assert len(crm.uploads) == 1
