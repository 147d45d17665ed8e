"""A missed call, from UIS's notification to the CRM's history."""

from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from telephony.models import Call


def test_missed_call_reaches_the_crm(notify, pbx, crm, tenant, stranger):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])
    notify(call.notification("call_end"))
    sent = crm.calls[0]
    assert [c["externalId"] for c in crm.calls] == [f"uis-{call.session_id}"]
    assert (sent["type"], sent["result"], sent["phone"]) == ("in", "no answer", f"+{CONTACT}")
    assert (sent["externalPhone"], sent["duration"]) == (f"+{NUMBER}", 0)
    assert Call.objects.get().state == Call.State.UPLOADED
