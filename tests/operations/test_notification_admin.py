"""Daily reconciliation and notifications in the admin."""

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


def test_page_of_a_call_tells_its_history_but_no_link(admin_client, answered):
    call = Call.objects.get()
    html = admin_client.get(reverse("admin:telephony_call_change", args=[call.pk])).content.decode()
    assert answered.records[0] not in html
    assert "/system/media/" not in html
    assert str(call.session_id) in html


def test_page_of_a_notification_hides_links_and_masks_numbers(admin_client, answered):
    for stored in Notification.objects.all():
        html = admin_client.get(reverse("admin:telephony_notification_change", args=[stored.pk])).content.decode()
        assert answered.records[0] not in html
        assert CONTACT not in html


def test_calls_are_found_by_number_and_session(admin_client, answered):
    where = reverse("admin:telephony_call_changelist")
    for words in (str(answered.session_id), CONTACT, CONTACT[-7:]):
        assert str(Call.objects.get().pk) in admin_client.get(where, {"q": words}).content.decode()
    assert "0 " in admin_client.get(where, {"q": "70000000000"}).content.decode()


def test_stopped_call_goes_on_its_way_again(admin_client, crm, crm_world, notify, pbx, tenant):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"), works=False)
    call = Call.objects.get()
    task_queue.lose()
    call.fail("CRM_REFUSED", "bad", now=timezone.now())
    call.save()
    where = reverse("admin:telephony_call_changelist")
    admin_client.post(where, {"action": "try_again", "_selected_action": [call.pk]})
    task_queue.drain()
    call.refresh_from_db()
    assert (call.state, call.failed_at, len(crm.calls)) == ("UPLOADED", None, 1)


def test_uploaded_call_is_not_sent_again(admin_client, crm, answered):
    call = Call.objects.get()
    where = reverse("admin:telephony_call_changelist")
    admin_client.post(where, {"action": "try_again", "_selected_action": [call.pk]})
    task_queue.drain()
    assert len(crm.uploads) == 1
