"""Call exports: the command, the buttons, and formulas that spreadsheets must not run."""

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
from tests.users import create_user

NOON = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
ENGLISH = {"accept-language": "en"}
CELLS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def talked(_noon, pbx, notify, crm, tenant, later):
    """One call that was answered, is in the CRM, and has its recording."""
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(minutes=9), talks=[(IVAN, 30)])
    notify(call.notification("recorded"), call.notification("call_end"))
    assert Call.objects.get().state == "UPLOADED"
    return call


@pytest.fixture
def person(client, db):
    """Log in a user of a group."""

    def enter(group):
        user = create_user(group.lower(), group)
        client.force_login(user)
        return client

    return enter


def told(tenant, *, since="2026-03-10", till="2026-03-10", format="csv"):
    out = StringIO()
    call_command(
        "export_calls", "--tenant", tenant.slug, "--from", since, "--till", till, "--format", format, stdout=out
    )
    return out.getvalue()


def press(client, kind="csv", **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return client.post(f"{reverse(f'admin:telephony_call_{kind}')}?{query}", headers=ENGLISH)


def lines(answer):
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"))))


def cells(answer):
    """Return the cells of a workbook: the kind of each and its text."""
    book = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 -- our own
    assert sheet.findall(f".//{CELLS}f") == []
    return [
        [(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.findall(f"{CELLS}c")]
        for row in sheet.iter(f"{CELLS}row")
    ]


def test_command_prints_a_call_as_it_is(talked, tenant):
    [row] = csv.DictReader(StringIO(told(tenant)))
    assert row == {
        "tenant": "romashka",
        "session_id": str(talked.session_id),
        "external_id": f"uis-{talked.session_id}",
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
    }


def test_lines_of_json_hold_the_same_and_no_link(talked, tenant):
    text = told(tenant, format="jsonl")
    said = json.loads(text)
    assert list(said) == list(csv.DictReader(StringIO(told(tenant))).fieldnames)
    assert (said["has_recording"], said["is_internal"], said["talk_seconds"]) == (True, False, 30)
    assert (said["session_id"], said["failed_at"]) == (talked.session_id, None)
    for secret in (talked.records[0], "media", tenant.uis.access_token, tenant.crm.key):
        assert secret not in text + told(tenant)


@pytest.mark.usefixtures("_noon")
def test_period_is_the_clients_own_and_the_oldest_come_first(tenant, stranger):
    midnight = datetime(2026, 3, 9, 21, 0, tzinfo=UTC)  # in Moscow
    moments = [midnight - timedelta(seconds=1), midnight, midnight + timedelta(hours=24, seconds=-1)]
    for session, at in enumerate(reversed([*moments, midnight + timedelta(hours=24)])):
        Call.objects.create(tenant=tenant, session_id=session, started_at=at, ended_at=at, retry_window_started_at=at)
    rows = list(csv.DictReader(StringIO(told(tenant))))
    assert [row["started_at"] for row in rows] == ["2026-03-10T00:00:00+03:00", "2026-03-10T23:59:59+03:00"]
    exact = told(tenant, since="2026-03-09T20:59:59+00:00", till="2026-03-10T00:00:00", format="jsonl")
    assert [json.loads(line)["session_id"] for line in exact.splitlines()] == [3]
    assert told(stranger, format="jsonl") == ""


@pytest.mark.usefixtures("_noon")
def test_command_refuses_wrong_periods(tenant):
    for wrong in ({"since": "2026-03-11"}, {"since": "yesterday"}, {"till": "2026-99-99"}):
        with pytest.raises(CommandError) as caught:
            told(tenant, **wrong)
        assert caught.value.returncode == 2
    assert not AuditLogEntry.objects.filter(action="CALLS_EXPORTED").exists()


def test_every_export_is_in_the_audit_log(talked, tenant, stranger, person):
    told(tenant)
    told(tenant, format="jsonl")
    operator = person("Operator")
    lines(press(operator))
    cells(press(operator, "xlsx"))
    written = AuditLogEntry.objects.filter(action="CALLS_EXPORTED").order_by("pk")
    period = "2026-03-10T00:00:00+03:00 – 2026-03-11T00:00:00+03:00"
    assert [(row.tenant, row.user and row.user.username, row.field, row.new) for row in written] == [
        (tenant, None, "CSV", period),
        (tenant, None, "JSONL", period),
        (tenant, "operator", "CSV", "1"),
        (tenant, "operator", "XLSX", "1"),
    ]


def test_button_exports_what_the_filters_show(talked, notify, pbx, tenant, person):
    notify(pbx.call(contact="79990000077", number=NUMBER, rings=[IVAN]).notification("lost_call"))
    operator = person("Operator")
    assert len(lines(press(operator))) == 2
    assert [row["contact"] for row in lines(press(operator, outcome="missed"))] == ["+79990000077"]
    assert [row["contact"] for row in lines(press(operator, q=CONTACT))] == [f"+{CONTACT}"]
    page = operator.get(reverse("admin:telephony_call_changelist"), {"q": CONTACT}).content.decode()
    assert f'action="{reverse("admin:telephony_call_csv")}?q={CONTACT}"' in page
    answer = press(operator, q="70000000000")
    assert (answer.status_code, answer["location"]) == (
        302,
        f"{reverse('admin:telephony_call_changelist')}?q=70000000000",
    )
    assert press(operator, nonsense="1").status_code == 302
    assert AuditLogEntry.objects.filter(action="CALLS_EXPORTED").count() == 3


def test_export_of_too_many_calls_is_refused(talked, tenant, person, monkeypatch):
    operator = person("Operator")
    monkeypatch.setitem(button.MOST, "csv", 0)
    answer = operator.post(reverse("admin:telephony_call_csv"), follow=True, headers=ENGLISH)
    (message,) = answer.context["messages"]
    assert message.level == messages.ERROR
    assert " 0 " in str(message)
    assert not AuditLogEntry.objects.filter(action="CALLS_EXPORTED").exists()


def test_support_gets_masked_numbers(talked, tenant, person):
    support = person("Support")
    [row] = lines(press(support))
    assert (row["contact"], row["number"]) == ("7999***0001", "7495***0001")
    book = str(cells(press(support, "xlsx")))
    assert "'7999***0001'" in book
    assert CONTACT not in book


def test_get_exports_nothing_and_strangers_are_refused(talked, client, db):
    where = reverse("admin:telephony_call_csv")
    assert client.post(where).status_code == 302
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.post(where).status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(where).status_code == 405
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
def test_spreadsheets_run_no_formula(person, name):
    tenant = Tenant.objects.create(name="Ромашка", slug="romashka")
    whose = Employee.objects.create(tenant=tenant, uis_id=IVAN, full_name=name)
    Call.objects.create(
        tenant=tenant, session_id=1, employee=whose, started_at=NOON, ended_at=NOON, retry_window_started_at=NOON
    )
    operator = person("Operator")
    [row] = lines(press(operator))
    # However a spreadsheet splits the line, no part of it begins with what it would run.
    for part in re.split(r"[;\t\r\n]", row["employee"]):
        assert not re.match(r"\s*[=+\-@＝]", part), row["employee"]
    assert row["employee"].replace("'", "") == name.replace("'", "")
    # In a workbook it is a text by its type, and so stays as it is.
    [_head, line] = cells(press(operator, "xlsx"))
    assert ("inlineStr", name.replace("\r", "_x000D_")) in line


def test_numbers_keep_their_plus(talked, person):
    operator = person("Operator")
    assert lines(press(operator))[0]["contact"] == f"+{CONTACT}"
    assert ("inlineStr", f"+{CONTACT}") in cells(press(operator, "xlsx"))[1]


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


def test_workbook_keeps_kinds_and_exact_numbers():
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
def test_export_costs_a_fixed_number_of_queries(tenant, person, django_assert_num_queries, count):
    Call.objects.bulk_create(
        Call(tenant=tenant, session_id=number, started_at=NOON, ended_at=NOON, retry_window_started_at=NOON)
        for number in range(count)
    )
    operator = person("Operator")
    with django_assert_num_queries(12):
        assert len(lines(press(operator))) == count
