"""Statistics, the export of calls, a new API key: on a desktop and on a phone, in both languages."""

import csv
import io
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.chromium import on_screens
from tests.browser.driver import Operator

pytestmark = pytest.mark.processes
CHARTS = ("delivered", "ended", "popups", "steps", "people", "hours")
# Two weeks of one client: ten calls a day, a third of them missed.
_FORTNIGHT = """
from datetime import timedelta
from django.utils import timezone
from crm.models import Popup
from telephony.models import Call, DailyReconciliation
from tenants.models import Employee, Tenant
from tenants.onboarding import NewTenant, create_tenant
now = timezone.now()
keys = {"uis_token": "t", "crm_url": "https://daisy.retailcrm.ru", "crm_key": "k"}
tenant = create_tenant(NewTenant(name="Daisy", slug="daisy", **keys), now=now)
people = [Employee.objects.create(tenant=tenant, uis_id=n, full_name=f"Иванов Иван {n}") for n in range(3)]
missed = {"result": "NO_ANSWER", "is_lost": True}
answered = {"result": "ANSWERED", "is_lost": False, "talk_seconds": 30}
for number in range(140):
    at = now - timedelta(days=number // 10, minutes=7 * number % 600)
    whose = {"tenant": tenant, "session_id": number, "employee": people[number % 3]}
    whose |= {"direction": "in", "contact": "79990000001"}
    ended = {"started_at": at, "ended_at": at, "retry_window_started_at": at, "state": "UPLOADED", "uploaded_at": at}
    Call.objects.create(**whose, **ended, **(missed if number % 3 == 0 else answered))
    shown = {"ringing_at": at, "received_at": at, "sent_at": at}
    shown["accepted_at"] = at + timedelta(milliseconds=100 + 10 * number)
    Popup.objects.create(**whose, **shown, state="CLOSED")
for number in range(14):
    day = (now - timedelta(days=number)).astimezone(tenant.zone).date()
    DailyReconciliation.objects.create(tenant=tenant, day=day, uis_calls=10, uploaded=9, failed=1, counted_at=now)
"""
# What is drawn, and what is in the table behind it.
_DRAWN = """
[...document.querySelectorAll("table[data-chart]")].map((table) => {
  const canvas = table.closest("section").querySelector("canvas");
  const inked = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((part) => part);
  const places = [...table.tHead.rows[0].cells].flatMap((cell, place) => cell.dataset.colour ? [place] : []);
  const number = (text) => text === "" ? null : Number(text);
  const rows = [...table.tBodies[0].rows];
  const expected = places.map((place) => rows.map((row) => number(row.cells[place].dataset.value)));
  const drawn = Chart.getChart(canvas).data.datasets.map((one) => one.data);
  return [inked, JSON.stringify(expected) === JSON.stringify(drawn)];
})
"""


@pytest.fixture(scope="module")
def past_calls(installation):
    """A client with past calls."""
    installation.ask("execute", _FORTNIGHT)


@pytest.mark.usefixtures("past_calls")
@on_screens
def test_charts_show_the_data_of_the_tables(installation, sign_in, language, size):
    with sign_in(language, size) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        page.locator('#content a[href="/admin/tenants/tenant/statistics/"]').click()
        expect(page.locator("#statistics-clients")).to_be_visible()
        _is_readable(user, "operator-statistics-all")
        page.get_by_role("link", name="Daisy", exact=True).click()
        for name in CHARTS:
            expect(page.locator(f"#statistics-{name}")).to_be_visible()
        _is_readable(user, "operator-statistics")


def _is_readable(user, name):
    page = user.page
    expect(page.locator(".statistics-drawing").last).to_be_visible()
    assert page.evaluate(_DRAWN) == [[True, True]] * len(CHARTS)
    assert not user.is_wider_than_its_screen()
    user.take_screenshot(name)
    for summary in page.locator("details summary").all():
        summary.click()
    assert not user.is_wider_than_its_screen()
    assert user.accessibility_violations() == []
    assert user.errors == []


@pytest.mark.usefixtures("past_calls")
def test_tables_are_there_without_scripts(installation, sign_in):
    with sign_in("en", "phone", has_scripts=False) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        operator.open("Daisy")
        page.locator('.admin-panel a[href$="/statistics/"]').click()
        expect(page.locator(".statistics-drawing").first).to_be_hidden()
        page.locator("section", has=page.locator("#statistics-people")).locator("summary").click()
        expect(page.get_by_role("row", name="Иванов Иван 1").first).to_contain_text("%")


@pytest.mark.usefixtures("past_calls")
@pytest.mark.parametrize("size", ["desktop", pytest.param("phone", marks=pytest.mark.exhaustive)])
def test_calls_are_exported_as_a_file(installation, sign_in, size, tmp_path):
    with sign_in("en", size) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        page.goto(f"{installation.address}/admin/telephony/call/?outcome=missed")
        with page.expect_download() as coming:
            page.locator(f'form[action^="{reverse("admin:telephony_call_export", args=["csv"])}"] button').click()
        file = Path(tmp_path / "calls.csv")
        coming.value.save_as(file)
        rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
        assert {row["result"] for row in rows} == {"NO_ANSWER"}
        assert {row["contact"] for row in rows} == {"+79990000001"}
        assert len(rows) == 47


@pytest.mark.usefixtures("past_calls")
def test_key_is_made_copied_and_reads(installation, sign_in):
    with sign_in("en", "desktop") as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        page.goto(f"{installation.address}/admin/tenants/apikey/add/")
        page.fill("#id_name", "Reports")
        page.select_option("#id_tenant", label="Daisy")
        page.click("[name=_save]")
        user.take_screenshot("operator-api-key")
        key = page.locator(".messagelist code").inner_text()
        where, headers = f"{installation.address}/api/v1/calls/?page_size=5", {"Authorization": f"Bearer {key}"}
        answer = installation.http.get(where, headers=headers, timeout=10)
        assert [row["tenant"] for row in answer.json()["results"]] == ["daisy"] * 5
        page.goto(f"{installation.address}/api/v1/docs/")
        expect(page.locator("#swagger-ui")).to_contain_text("/api/v1/reconciliation/")
        assert user.errors == []
