"""Voice mail is linked as the recording of its missed call."""

from datetime import timedelta

import pytest
from django.utils import timezone

from telephony import tasks
from telephony.models import Call
from tenants.models import TransferRules
from tests.conftest import CONTACT, IVAN, NUMBER

pytestmark = pytest.mark.one_database

MAIL = "3be7" * 8


@pytest.mark.parametrize("communication_id", [None, 77, 3545169699])
@pytest.mark.parametrize("mails", [[MAIL], ["0" * 32, MAIL]])
@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_voice_mail_of_the_report_is_the_recording(
    tenant, pbx, crm, run_queue, stranger, communication_id, mails, kind
):
    TransferRules.objects.filter(tenant=tenant).update(recording_link=kind)
    began = timezone.now() - timedelta(minutes=30)
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=began)
    missed.voice_mails, missed.communication_id = mails, communication_id or missed.session_id
    tasks.reconcile_calls(tenant.pk)
    run_queue()
    link = f"https://app.uiscom.ru/system/media/voice_mail/{missed.communication_id}/{MAIL}/"
    (uploaded,) = crm.calls
    assert uploaded["result"] == "no answer"
    assert uploaded["recordUrl"] == link if kind == "UIS" else "/records/" in uploaded["recordUrl"]
    assert Call.objects.get().recording_url == link


def test_missed_call_without_voice_mail_has_no_link(tenant, pbx, crm, run_queue):
    began = timezone.now() - timedelta(minutes=30)
    pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=began)
    tasks.reconcile_calls(tenant.pk)
    run_queue()
    assert "recordUrl" not in crm.calls[0]
