"""Call exports: the command, the buttons, and the escaping of spreadsheet formulas."""

import csv
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
import time_machine
from django.contrib import messages
from django.core.management import CommandError, call_command
from django.urls import reverse

from connector_project.core import tabular
from connector_project.operations.admin import export as button
from telephony.models import Call
from tenants.models import AuditLogEntry, Employee, Tenant, User
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import begin_rules
from tests.users import create_user

NOON = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
ENGLISH = {"accept-language": "en"}
CELLS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def uploaded_call(_noon, pbx, notify, crm, tenant, later):
    """One answered call that is uploaded to the CRM and has a recording."""
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(minutes=9), talks=[(IVAN, 30)])
    notify(call.notification("recorded"), call.notification("call_end"))
    assert Call.objects.get().state == "UPLOADED"
    return call


@pytest.fixture
def log_in(client, db):
    """Log in a user of a group."""

    def log_in_as(group):
        user = create_user(group.lower(), group)
        client.force_login(user)
        return client

    return log_in_as


def export(tenant, *, since="2026-03-10", till="2026-03-10", format="csv"):
    out = StringIO()
    call_command(
        "export_calls", "--tenant", tenant.slug, "--from", since, "--till", till, "--format", format, stdout=out
    )
    return out.getvalue()


def post_export(client, kind="csv", **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return client.post(f"{reverse('admin:telephony_call_export', args=[kind])}?{query}", headers=ENGLISH)


def csv_rows(answer):
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"))))


def workbook_cells(answer):
    """Return the cells of a workbook: the type of each and its text."""
    book = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 -- our own
    assert sheet.findall(f".//{CELLS}f") == []
    return [
        [(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.findall(f"{CELLS}c")]
        for row in sheet.iter(f"{CELLS}row")
    ]


def test_command_prints_every_field_of_a_call(uploaded_call, tenant):
    [row] = csv.DictReader(StringIO(export(tenant)))
    assert row == {
        "tenant": "romashka",
        "session_id": str(uploaded_call.session_id),
        "external_id": f"uis-{uploaded_call.session_id}",
        "started_at": "2026-03-10T11:51:00+03:00",
        "ended_at": "2026-03-10T11:51:35+03:00",
        "direction": "in",
        "is_internal": "false",
        "contact": f"+{CONTACT}",
        "number": f"+{NUMBER}",
        "employee": "Иванов Иван",
        "extension": "101",
        "result": "ANSWERED",
        "talk_seconds": "30",
        "wait_seconds": "5",
        "state": "UPLOADED",
        "rule": "",
        "reason": "",
        "failed_at": "",
        "uploaded_at": "2026-03-10T12:00:00+03:00",
        "has_recording": "true",
        "source": "va",
        "scenario": "Основной сценарий",
        "campaign": "",
        "tags": "",
        **dict.fromkeys(["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"], ""),
        **dict.fromkeys(["traffic_source", "channel", "region", "ym_client_id", "ua_client_id", "rating"], ""),
    }


def test_json_lines_have_the_csv_fields_and_no_link_or_key(uploaded_call, tenant):
    text = export(tenant, format="jsonl")
    record = json.loads(text)
    assert list(record) == list(csv.DictReader(StringIO(export(tenant))).fieldnames)
    assert (record["has_recording"], record["is_internal"], record["talk_seconds"]) == (True, False, 30)
    assert (record["session_id"], record["failed_at"]) == (uploaded_call.session_id, None)
    for secret in (uploaded_call.records[0], "media", tenant.uis.access_token, tenant.crm.key):
        assert secret not in text + export(tenant)


@pytest.mark.usefixtures("_noon")
def test_period_is_in_the_tenants_time_zone_and_sorted_oldest_first(tenant, stranger):
    midnight = datetime(2026, 3, 9, 21, 0, tzinfo=UTC)  # in Moscow
    moments = [midnight - timedelta(seconds=1), midnight, midnight + timedelta(hours=24, seconds=-1)]
    for session, at in enumerate(reversed([*moments, midnight + timedelta(hours=24)])):
        Call.objects.create(tenant=tenant, session_id=session, started_at=at, ended_at=at, retry_window_started_at=at)
    rows = list(csv.DictReader(StringIO(export(tenant))))
    assert [row["started_at"] for row in rows] == ["2026-03-10T00:00:00+03:00", "2026-03-10T23:59:59+03:00"]
    exact = export(tenant, since="2026-03-09T20:59:59+00:00", till="2026-03-10T00:00:00", format="jsonl")
    assert [json.loads(line)["session_id"] for line in exact.splitlines()] == [3]
    assert export(stranger, format="jsonl") == ""


@pytest.mark.usefixtures("_noon")
def test_invalid_period_is_rejected(tenant):
    for invalid in ({"since": "2026-03-11"}, {"since": "yesterday"}, {"till": "2026-99-99"}):
        with pytest.raises(CommandError) as caught:
            export(tenant, **invalid)
        assert caught.value.returncode == 2
    assert not AuditLogEntry.objects.filter(action="CALLS_EXPORTED").exists()


def test_every_export_is_in_the_audit_log(uploaded_call, tenant, stranger, log_in):
    export(tenant)
    export(tenant, format="jsonl")
    operator = log_in("Operator")
    csv_rows(post_export(operator))
    workbook_cells(post_export(operator, "xlsx"))
    entries = AuditLogEntry.objects.filter(action="CALLS_EXPORTED").order_by("pk")
    period = "2026-03-10T00:00:00+03:00 – 2026-03-11T00:00:00+03:00"
    assert [(row.tenant, row.user and row.user.username, row.field, row.new) for row in entries] == [
        (tenant, None, "CSV", period),
        (tenant, None, "JSONL", period),
        (tenant, "operator", "CSV", "1"),
        (tenant, "operator", "XLSX", "1"),
    ]


def test_button_exports_the_filtered_calls(uploaded_call, notify, pbx, tenant, log_in):
    notify(pbx.call(contact="79990000077", number=NUMBER, rings=[IVAN]).notification("lost_call"))
    operator = log_in("Operator")
    assert len(csv_rows(post_export(operator))) == 2
    assert [row["contact"] for row in csv_rows(post_export(operator, outcome="missed"))] == ["+79990000077"]
    assert [row["contact"] for row in csv_rows(post_export(operator, q=CONTACT))] == [f"+{CONTACT}"]
    page = operator.get(reverse("admin:telephony_call_changelist"), {"q": CONTACT}).content.decode()
    assert f'action="{reverse("admin:telephony_call_export", args=["csv"])}?q={CONTACT}"' in page
    answer = post_export(operator, q="70000000000")
    assert (answer.status_code, answer["location"]) == (
        302,
        f"{reverse('admin:telephony_call_changelist')}?q=70000000000",
    )
    assert post_export(operator, nonsense="1").status_code == 302
    assert AuditLogEntry.objects.filter(action="CALLS_EXPORTED").count() == 3


def test_export_of_too_many_calls_is_rejected(uploaded_call, tenant, log_in, monkeypatch):
    operator = log_in("Operator")
    monkeypatch.setitem(button.MOST, "csv", 0)
    answer = operator.post(reverse("admin:telephony_call_export", args=["csv"]), follow=True, headers=ENGLISH)
    (message,) = answer.context["messages"]
    assert message.level == messages.ERROR
    assert " 0 " in str(message)
    assert not AuditLogEntry.objects.filter(action="CALLS_EXPORTED").exists()


def test_support_gets_masked_numbers(uploaded_call, tenant, log_in):
    support = log_in("Support")
    [row] = csv_rows(post_export(support))
    assert (row["contact"], row["number"]) == ("7999***0001", "7495***0001")
    book = str(workbook_cells(post_export(support, "xlsx")))
    assert "'7999***0001'" in book
    assert CONTACT not in book


def test_export_needs_a_post_and_permission(uploaded_call, client, db):
    url = reverse("admin:telephony_call_export", args=["csv"])
    assert client.post(url).status_code == 302
    client.force_login(User.objects.create_user("visitor", is_staff=True))
    assert client.post(url).status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(url).status_code == 405
    assert not AuditLogEntry.objects.filter(action="CALLS_EXPORTED").exists()


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1+1",
        "＝1+1",
        " =1+1",
        '=HYPERLINK("http://evil.example","x")',
        "+cmd|' /C calc'!A0",
        "Иванов;=1+1",
        "Иванов\n=1+1",
    ],
)
def test_formula_in_a_name_is_escaped(log_in, name):
    tenant = begin_rules(Tenant.objects.create(name="Ромашка", slug="romashka"))
    employee = Employee.objects.create(tenant=tenant, uis_id=IVAN, full_name=name)
    Call.objects.create(
        tenant=tenant, session_id=1, employee=employee, started_at=NOON, ended_at=NOON, retry_window_started_at=NOON
    )
    operator = log_in("Operator")
    [row] = csv_rows(post_export(operator))
    # However a spreadsheet splits the line, no part of it may begin with a formula.
    for part in re.split(r"[;\t\r\n]", row["employee"]):
        assert not re.match(r"\s*[=+\-@＝]", part), row["employee"]
    assert row["employee"].replace("'", "") == name.replace("'", "")
    # In a workbook the cell has the text type, so the name is unchanged.
    [_head, line] = workbook_cells(post_export(operator, "xlsx"))
    assert ("inlineStr", name.replace("\r", "_x000D_")) in line


def test_phone_numbers_keep_the_leading_plus(uploaded_call, log_in):
    operator = log_in("Operator")
    assert csv_rows(post_export(operator))[0]["contact"] == f"+{CONTACT}"
    assert ("inlineStr", f"+{CONTACT}") in workbook_cells(post_export(operator, "xlsx"))[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+79990000001", "+79990000001"),
        ("+7999***0001", "'+7999***0001"),
        ("+7 999", "'+7 999"),
        ("anonymous", "anonymous"),
        ("a=b", "a=b"),
        ("Smith-Jones", "Smith-Jones"),
        ("a, b", "a, b"),
        ("-", "'-"),
        ("", ""),
    ],
)
def test_only_possible_formulas_are_escaped(text, shown):
    assert tabular.escape_formula(text) == shown


def test_workbook_keeps_types_and_exact_numbers():
    file = io.BytesIO()
    tabular.write_xlsx(["id", "large", "yes", "none", "text"], [[7, 10**15 + 1, True, None, "a\x00b"]], file)
    book = zipfile.ZipFile(file)
    sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 -- our own
    [_head, row] = sheet.iter(f"{CELLS}row")
    kinds = [(cell.get("r"), cell.get("t", "n"), "".join(cell.itertext())) for cell in row]
    assert kinds[:3] == [("A2", "n", "7"), ("B2", "inlineStr", "1000000000000001"), ("C2", "b", "1")]
    assert [kind[:2] for kind in kinds[3:]] == [("E2", "inlineStr")]


@pytest.mark.usefixtures("_noon")
@pytest.mark.parametrize("count", [1, 60])
def test_export_has_a_fixed_query_count(tenant, log_in, django_assert_num_queries, count):
    Call.objects.bulk_create(
        Call(tenant=tenant, session_id=number, started_at=NOON, ended_at=NOON, retry_window_started_at=NOON)
        for number in range(count)
    )
    operator = log_in("Operator")
    with django_assert_num_queries(11):
        assert len(csv_rows(post_export(operator))) == count
