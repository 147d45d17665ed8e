"""Each request that belongs to a call, a click or a status is kept once with its answer, and shown with the call."""

import json
import random
from datetime import timedelta

import pytest
import responses
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.urls import reverse
from django.utils import timezone

from connector_project.core import exchanges
from connector_project.operations.explain.sent_requests import body_of_call
from connector_project.operations.retention import purge
from crm.models import Command, Popup
from telephony import outgoing_requests, tasks
from telephony.models import AccessLogEntry, Call, OutgoingRequest, RequestedCall
from tenants.models import CrmConnection, Tenant
from tenants.rules import StatusSync
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import publish_rules_for_all
from tests.users import create_user

ENGLISH = {"accept-language": "en"}
OTHER = "79990000044"
EVENT, UPLOAD = "POST /api/v5/telephony/call/event", "POST /api/v5/telephony/calls/upload"


def kept(tenant, session_id=None):
    """Return the methods of the requests that were kept, in order."""
    rows = OutgoingRequest.objects.filter(tenant=tenant)
    if session_id is not None:
        rows = rows.filter(calls__session_id=session_id)
    return list(rows.order_by("sent_at", "pk").values_list("method", flat=True))


@pytest.fixture
def open_page(client):
    def get(session_id, group):
        client.force_login(create_user(group.lower(), group))
        call = Call.objects.get(session_id=session_id)
        return client.get(reverse("admin:telephony_call_change", args=[call.pk]), headers=ENGLISH)

    return get


@pytest.fixture
def ring(notify, pbx):
    """Play a missed call with a pop-up; return it."""

    def play(contact=CONTACT, **more):
        call = pbx.call(contact=contact, number=NUMBER, rings=[IVAN])
        notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()), call.notification("lost_call"))
        return call

    return play


def test_requests_of_a_call_are_kept_once_and_shown_folded(ring, open_page, tenant, stranger):
    call = ring()
    assert kept(tenant, call.session_id) == [EVENT, EVENT, UPLOAD]
    row = OutgoingRequest.objects.filter(tenant=tenant).last()
    assert (row.system, row.status, row.error) == ("retailCRM", 200, "")
    assert json.loads(row.request)["calls"][0]["externalId"] == f"uis-{call.session_id}"
    assert json.loads(row.response)["processedCallsCount"] == 1
    page = open_page(call.session_id, "Operator")
    text = html_text.text(page)
    assert f"{UPLOAD} 200" in text
    assert "<details>" in page.content.decode()
    assert f"+{CONTACT}" in text
    assert not OutgoingRequest.objects.filter(tenant=stranger).exists()


def test_legs_are_kept_without_recordings(notify, pbx, tenant, crm):
    started_at = timezone.now() - timedelta(seconds=40)
    call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=started_at)
    notify(call.notification("call_end"))
    assert kept(tenant, call.session_id) == ["get.call_legs_report", UPLOAD]
    legs, upload = OutgoingRequest.objects.filter(tenant=tenant).order_by("pk")
    assert json.loads(legs.request)["params"]["access_token"] == "***"
    talk = next(leg for leg in json.loads(legs.response)["result"]["data"] if leg["is_talked"])
    assert talk["call_records"] == "***"
    assert pbx.token not in legs.request + legs.response
    assert "/system/media/" not in upload.request
    assert "recordUrl" in upload.request


@pytest.fixture
def miss(notify, run_queue, pbx):
    """Play missed calls that are uploaded together; return them."""

    def play(*contacts):
        calls = [pbx.call(contact=contact, number=NUMBER, rings=[IVAN]) for contact in contacts]
        notify(*(call.notification("lost_call") for call in calls), works=False)
        run_queue()
        return calls

    return play


def test_one_row_of_a_batch_is_linked_to_each_call(miss, crm, tenant):
    calls = miss(*(f"7999000010{n}" for n in range(5)))
    assert len(crm.calls) == 5
    uploads = OutgoingRequest.objects.filter(tenant=tenant, method=UPLOAD)
    linked = [one for row in uploads for one in row.calls.values_list("session_id", flat=True)]
    assert sorted(linked) == sorted(call.session_id for call in calls)
    assert uploads.count() == len(crm.uploads) < 5


def test_refused_batch_and_its_halves_are_kept_for_the_calls_in_them(miss, tenant):
    CrmConnection.objects.update(site="no-such-shop")
    miss(*(f"7999000010{n}" for n in range(4)))
    counts = sorted(row.calls.count() for row in OutgoingRequest.objects.filter(tenant=tenant, status=400))
    assert counts.count(1) == 4
    assert max(counts) > 1


@pytest.mark.parametrize("group", ["Support", "Operator"])
def test_page_shows_no_other_call_of_a_batch(miss, tenant, open_page, group):
    calls = miss(CONTACT, "79990000043", OTHER)
    assert OutgoingRequest.objects.get(method=UPLOAD, calls__session_id=calls[-1].session_id).calls.count() > 1
    html = open_page(calls[-1].session_id, group).content.decode()
    assert CONTACT not in html
    assert not any(f"uis-{call.session_id}" in html for call in calls[:-1])
    assert (f"+{OTHER}" in html) == (group == "Operator")


@pytest.mark.parametrize(("group", "is_shown"), [("Support", False), ("Operator", True)])
def test_numbers_are_masked_by_role_and_full_ones_logged(ring, open_page, tenant, group, is_shown):
    call = ring()
    html = open_page(call.session_id, group).content.decode()
    assert (CONTACT in html) == is_shown
    assert "externalId" in html
    assert AccessLogEntry.objects.filter(kind=AccessLogEntry.Kind.PHONE_NUMBER).exists() == is_shown


@pytest.mark.parametrize("kind", ["503", "html", "timeout", "refused", "cut"])
def test_request_without_a_proper_answer_is_kept_with_what_came(ring, crm_world, tenant, open_page, kind):
    crm_world.break_down(kind)
    call = ring()
    row = OutgoingRequest.objects.filter(tenant=tenant, method=EVENT).first()
    assert row.error or row.status
    assert bool(row.error) == (row.status is None)
    assert tenant.crm.key not in row.error + row.response
    assert open_page(call.session_id, "Support").status_code == 200


def test_click_and_status_keep_their_requests(client, tenant, run_queue, pbx):
    publish_rules_for_all(status_sync=StatusSync.CRM_TO_UIS)
    form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101"}
    for name, params in (("make-call", {"phone": f"+{CONTACT}"}), ("change-user-status", {"status": "busy"})):
        client.post(f"/hooks/retailcrm/{tenant.crm.hook}/{name}/", form | params)
        run_queue()
    click = Command.objects.get(kind=Command.Kind.MAKE_CALL)
    assert kept(tenant, click.session_id) == ["start.employee_call"]
    assert dict(OutgoingRequest.objects.values_list("command_id", "method")) == {
        click.pk: "start.employee_call",
        Command.objects.get(kind=Command.Kind.SET_STATUS).pk: "update.employees",
    }


def test_polling_is_not_kept(tenant, pbx, crm, run_queue):
    tasks.sync_all()
    tasks.reconcile_all()
    tasks.poll_all()
    run_queue()
    call_command("check_tenant", "--tenant", tenant.slug)
    assert not OutgoingRequest.objects.exists()


@pytest.mark.parametrize("at", ["request", "link"])
def test_fault_while_keeping_does_not_harm_the_call(ring, crm, tenant, at):
    table = {"request": OutgoingRequest, "link": RequestedCall}[at]._meta.db_table

    def fail(execute, sql, *rest):
        is_prepared = sql.startswith("EXECUTE with_telephony_outgoingrequest")  # both in one statement
        if is_prepared or ("INSERT INTO" in sql and table in sql):
            raise DatabaseError("no space")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail):
        call = ring()
    assert [one["externalId"] for one in crm.calls] == [f"uis-{call.session_id}"]
    assert Popup.objects.get().state == Popup.State.CLOSED
    assert kept(tenant) == []


def test_page_is_answered_if_a_body_was_cut_off(ring, open_page, tenant, monkeypatch):
    monkeypatch.setattr(exchanges, "LONGEST_BODY", 40)
    call = ring()
    assert max(len(row.request) for row in OutgoingRequest.objects.all()) == 41
    assert open_page(call.session_id, "Operator").status_code == 200


ROWS = {
    "upload": lambda ids: {"calls": [{"externalId": f"uis-{one}", "phone": f"+7{one}"} for one in ids]},
    "legs": lambda ids: {"result": {"data": [{"id": 5, "call_session_id": one, "n": f"+7{one}"} for one in ids]}},
    "report": lambda ids: {"result": {"data": [{"id": one, "contact_phone_number": f"7{one}"} for one in ids]}},
    "filters": lambda ids: {"params": {"filter": {"filters": [{"field": "id", "value": one} for one in ids]}}},
    "text ids": lambda ids: [{"id": str(one), "nested": [{"phone": f"7{one}"}]} for one in ids],
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("seed", range(5))
def test_body_is_cut_to_one_call(kind, seed):
    draw = random.Random(seed)
    ids = draw.sample(range(10**9, 10**10), draw.randint(2, 50))
    text, own = json.dumps(ROWS[kind](ids)), draw.choice(ids)
    shown = body_of_call(text, own, others=set(ids) - {own})
    assert str(own) in shown
    assert not any(str(one) in shown for one in ids if one != own)
    missing = body_of_call(text, 7, others=set(ids))
    assert not any(str(one) in missing for one in ids)


@pytest.mark.parametrize(
    "text", ['{"calls": [{"externalId": "uis-1"', "[[[", '{"a": 1}…', "[1, 2, 3…", '{"result": {"data"']
)
def test_values_that_were_cut_off_are_not_shown_with_other_calls(text):
    assert body_of_call(text, 1, others={2}) not in {"", text}
    assert body_of_call(text, 1, others=()) == text


SECRETS = [
    {"params": {"access_token": "s3cretvalue"}},
    {"apiKey": "s3cretvalue"},
    {"recordUrl": "https://connector.example/records/s3cretvalue/"},
    {"data": [{"call_records": ["s3cretvalue"]}]},
    {"full_record_file_link": "https://media.uiscom.ru/1/s3cretvalue"},
    {"voice_mail_records": ["s3cretvalue"], "wav_call_records": ["s3cretvalue"]},
    {"clientId": "s3cretvalue", "deep": {"list": [{"token": "s3cretvalue"}]}},
    "<html>key=s3cretvalue</html>",
]


@pytest.mark.parametrize("body", SECRETS)
def test_secrets_are_not_kept(tenant, body):
    text = body if isinstance(body, str) else json.dumps(body)
    with outgoing_requests.kept(tenant.pk, sessions=[1]), responses.RequestsMock() as mock:
        mock.post(f"{tenant.crm.address}/api/x", body=f"{text} ")
        send = exchanges.recorded(secret="the-key")
        send("retailCRM", "POST", f"{tenant.crm.address}/api/x", body={"event": text}, headers={"X-API-KEY": "the-key"})
    row = OutgoingRequest.objects.get()
    assert row.request
    assert row.response
    assert "s3cretvalue" not in row.request + row.response


@pytest.mark.parametrize(
    "answer",
    ["the-key", '{"error": {"data": {"value": "the-key"}}}', "key the-key is wrong", "<the-key>", '[["the-key"]]'],
)
def test_key_that_a_vendor_repeats_is_not_kept(tenant, answer):
    with outgoing_requests.kept(tenant.pk, sessions=[1]), responses.RequestsMock() as mock:
        mock.get(f"{tenant.crm.address}/api/x", body=answer)
        exchanges.recorded(secret="the-key")("retailCRM", "GET", f"{tenant.crm.address}/api/x", query={"phone": "+7"})
    row = OutgoingRequest.objects.get()
    assert "the-key" not in row.response
    assert row.response


@pytest.mark.parametrize("answer", ["\x00", '"\\ud800"', "[" * 100_000, "x" * 200_000, '["\\u0000\\ud800"]'])
def test_any_answer_can_be_kept(tenant, answer):
    with outgoing_requests.kept(tenant.pk, sessions=[1]), responses.RequestsMock() as mock:
        mock.get(f"{tenant.crm.address}/api/x", body=answer)
        exchanges.recorded(secret="k")("retailCRM", "GET", f"{tenant.crm.address}/api/x")
    row = OutgoingRequest.objects.get()
    assert len(row.response) <= exchanges.LONGEST_BODY + 1


def test_requests_are_purged_after_the_term_of_payloads(ring, tenant, settings):
    ring()
    at = timezone.now() - timedelta(days=10)
    OutgoingRequest.objects.update(sent_at=at)
    assert "telephony_outgoingrequest" not in purge.run(now=timezone.now()).rows
    Tenant.objects.update(retention_payload_days=9)
    assert purge.run(now=timezone.now()).rows["telephony_requestedcall"] == 3
    assert not OutgoingRequest.objects.exists()
    assert Call.objects.exists()


def test_erased_number_is_in_no_request(ring, tenant):
    call = ring()
    call_command("erase_number", "--tenant", tenant.slug, f"+{CONTACT}")
    assert kept(tenant, call.session_id) == [EVENT, EVENT, UPLOAD]
    assert not any(CONTACT[1:] in row.request + row.response for row in OutgoingRequest.objects.all())


@pytest.mark.parametrize("count", [1, 20])
def test_keeping_needs_a_fixed_number_of_statements(tenant, django_assert_num_queries, count):
    url = f"{tenant.crm.address}/api/x"
    statements = 1 if count == 1 and connection.vendor == "postgresql" else 4  # a savepoint and two inserts
    with responses.RequestsMock() as mock:
        mock.get(url, body="{}")
        with django_assert_num_queries(statements), outgoing_requests.kept(tenant.pk, sessions=range(1, 11)):
            for _request in range(count):
                exchanges.recorded(secret="k")("retailCRM", "GET", url)
    assert RequestedCall.objects.count() == 10 * count


def test_explain_call_lists_the_requests(ring, tenant, capsys):
    call = ring()
    call_command("explain_call", "--tenant", tenant.slug, str(call.session_id))
    found = json.loads(capsys.readouterr().out)
    assert [(one["system"], one["method"], one["status"]) for one in found["requests"]] == [
        *[("retailCRM", EVENT, 200)] * 2,
        ("retailCRM", UPLOAD, 200),
    ]
    assert CONTACT not in json.dumps(found)
