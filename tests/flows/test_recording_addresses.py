"""Only addresses of the client's brand are handed over, fetched or shown as recordings, from any source."""

import json
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from telephony.models import Call, RecordingLink
from tenants.models import Tenant
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules, publish_rules_for_all
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2), pytest.mark.usefixtures("slots")]

HOSTILE = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//app.uiscom.ru/1.mp3",
    "data:audio/mpeg;base64,AAAA",
    "file:///etc/passwd",
    "ftp://app.uiscom.ru/1.mp3",
    "http://app.uiscom.ru/1.mp3",
    "http://169.254.169.254/latest/meta-data/",
    "https://evil.example.com/1.mp3",
    "https://uiscom.ru.evil.example.com/1.mp3",
    "https://evil-uiscom.ru/1.mp3",
    "https://app.uiscom.ru@evil.example.com/1.mp3",
    "https://user:pass@app.uiscom.ru/1.mp3",
    "https://app.uiscom.ru:8443/1.mp3",
    "https://evil.example.com\\@app.uiscom.ru/1.mp3",
    "https://app.uiscom.ru\u3002evil.example.com/1.mp3",
    "https://evil.example.com%2f.uiscom.ru/1.mp3",
    "https://app.uiscom.ru/1.mp3\r\nX-Evil: 1",
    "https://app.callgear.com/1.mp3",  # another brand
    "//evil.example.com/1.mp3",
]


@pytest.fixture
def wire(request):
    """All outgoing requests."""
    return request.getfixturevalue("_wire")


@pytest.fixture
def support_client(client, db):
    client.force_login(create_user("support", "Support"))
    return client


def pass_minutes(later, minutes):
    for _minute in range(minutes):
        later(timedelta(minutes=1))


def marks(address):
    """Return what of an address would show that it was used: the fake's own hosts are asked in any case."""
    return [address, json.dumps(address)[1:-1], "evil", "alert(1)", "169.254", "1.mp3", "passwd"]


def assert_never_used(address, *, crm, wire, answers):
    """Assert that neither the CRM, nor the wire, nor any page has the address."""
    (uploaded,) = crm.calls
    texts = {
        "the CRM": json.dumps(uploaded, default=str),
        "the wire": " ".join(str(call.request.url) for call in wire.calls),
    }
    for place, text in {**texts, **answers}.items():
        assert not [mark for mark in marks(address) if mark in text], place


@pytest.mark.parametrize("address", HOSTILE)
@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_hostile_link_of_a_notification_is_never_used(
    support_client, notify, crm, talk, later, wire, stranger, address, kind
):
    publish_rules(Tenant.objects.get(slug="romashka"), recording_link=kind)
    forged = talk.notification("recorded") | {"file_link": address}
    notify(forged, talk.notification("call_end"), forged | {"employee_id": PETR})
    pass_minutes(later, 12)
    call = Call.objects.get()
    assert (call.state, call.recording_url) == (Call.State.UPLOADED, "")
    page = support_client.get(reverse("admin:telephony_call_change", args=[call.pk]))
    exported = StringIO()
    since, till = (call.started_at.isoformat(), timezone.now().isoformat())
    call_command(
        *("export_calls", "--tenant", "romashka", "--from", since, "--till", till, "--format", "jsonl"), stdout=exported
    )
    assert json.loads(exported.getvalue())["has_recording"] is False
    played = [support_client.get(reverse("admin:telephony_call_play", args=[call.pk, part])) for part in (0, 1)]
    played += [support_client.get(f"/records/{link.token}/") for link in RecordingLink.objects.all()]
    assert {answer.status_code for answer in played} <= {410, 503}
    assert not any("Location" in answer for answer in played)
    panel = page.context["recording"]
    shown = " ".join([panel.link_message, panel.message, *(url for _title, url in panel.tracks)])
    answers = {"the page": shown, "the export": exported.getvalue()}
    answers |= {f"answer {number}": answer.content.decode() for number, answer in enumerate(played)}
    assert_never_used(address, crm=crm, wire=wire, answers=answers)


@pytest.mark.parametrize("address", [*HOSTILE[:2], *HOSTILE[7:10]])
def test_hostile_link_of_the_report_is_never_used(support_client, notify, pbx, crm, wire, tenant, monkeypatch, address):
    began = timezone.now() - timedelta(seconds=60)
    transfer = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 12), (PETR, 9)])
    from tests.fakes import uis_reports

    real = uis_reports._call_records
    monkeypatch.setattr(uis_reports, "_call_records", lambda *args: real(*args) | {"full_record_file_link": address})
    notify(transfer.notification("call_end"))
    call = Call.objects.get()
    assert crm.calls[0]["recordUrl"] == transfer.link(transfer.records[1])
    played = support_client.get(reverse("admin:telephony_call_play", args=[call.pk, 0]))
    assert played.status_code == 410
    assert_never_used(address, crm=crm, wire=wire, answers={})


@pytest.mark.parametrize("address", [HOSTILE[0], HOSTILE[7], HOSTILE[10], HOSTILE[13], HOSTILE[18]])
@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_hostile_link_of_a_row_stored_before_is_never_used(
    client, notify, crm, crm_world, talk, later, wire, tenant, address, kind
):
    publish_rules_for_all(recording_link=kind, recording_wait_minutes=0)
    crm_world.break_down("503")
    notify(talk.notification("call_end"))
    call = Call.objects.get()
    assert call.state == Call.State.READY
    call.recording_url = address
    call.save()
    crm_world.repair()
    pass_minutes(later, 35)
    for link in RecordingLink.objects.all():
        assert client.get(f"/records/{link.token}/").status_code in {410, 503}
    assert_never_used(address, crm=crm, wire=wire, answers={})


@pytest.mark.parametrize("brand", ["uis", "comagic", "callgear", "novofon"])
def test_link_of_the_own_brand_is_handed_over(client, crm, uis_world, brand, run_queue, db):
    from tests import tenant_factory

    pbx = uis_world.add_account(f"{brand}-token", brand=brand)
    pbx.add_employee(IVAN, "Иванов Иван", extension="101", email="ivan@example.com", numbers=["79990000011"])
    pbx.add_number(NUMBER, name="Основной")
    crm.add_user(29, first_name="Иван", last_name="Иванов", email="ivan@example.com")
    shop = tenant_factory.activated("Лавка", "shop", pbx=pbx, crm=crm, default_number=NUMBER)
    began = timezone.now() - timedelta(seconds=40)
    session = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=began)
    link = session.link(session.records[0])
    session.records_at = timezone.now() + timedelta(hours=1)
    for body in (session.notification("recorded"), session.notification("call_end")):
        client.post(f"/hooks/uis/{shop.uis.hook}/", body, content_type="application/json")
        run_queue()
    assert urlsplit(link).hostname == f"app.{pbx.domain}"
    assert [call["recordUrl"] for call in crm.calls] == [link]
