"""The missed-callers board: on a desktop and on a phone, in both languages."""

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import on_screens
from tests.browser.driver import Operator

pytestmark = pytest.mark.processes
# 200 callers of two weeks: every fifth was talked to since, every seventh did not answer a callback.
_FORTNIGHT = """
from datetime import timedelta
from django.utils import timezone
from telephony.models import Call
from tenants.models import Employee
from tenants.onboarding import NewTenant, create_tenant
now = timezone.now()
keys = {"uis_token": "t", "crm_url": "https://daisy.retailcrm.ru", "crm_key": "k"}
tenant = create_tenant(NewTenant(name="Daisy", slug="daisy", **keys), now=now)
anna = Employee.objects.create(tenant=tenant, uis_id=1, full_name="Константинопольская Александра", extension="101")
def add_call(number, at, **ended):
    times = {"started_at": at, "ended_at": at + timedelta(minutes=1), "retry_window_started_at": at}
    session = Call.objects.count() + 1
    contact = f"7999000{number:04}" if number else ""
    Call.objects.create(tenant=tenant, session_id=session, contact=contact, state="UPLOADED", **times, **ended)
for number in range(200):
    at = now - timedelta(hours=1 + number * 1.6)
    owner = anna if number % 3 else None
    add_call(number, at, direction="in", result="NO_ANSWER", is_lost=True, employee=owner)
    if number % 5 == 1:
        add_call(number, at + timedelta(minutes=9), direction="in", result="ANSWERED", is_lost=False, talk_seconds=30)
    if number % 7 == 2:
        add_call(number, at + timedelta(minutes=19), direction="out", result="BUSY", is_lost=False)
"""


@pytest.fixture(scope="module")
def past_calls(installation):
    """A client with past calls."""
    installation.ask("execute", _FORTNIGHT)


@pytest.mark.usefixtures("past_calls")
@on_screens
def test_board_is_found_and_read(installation, sign_in, language, size):
    with sign_in(language, size) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        page.locator('#content a[href="/admin/tenants/tenant/missed-callers/"]').click()
        page.get_by_role("link", name="Daisy", exact=True).click()
        expect(page.locator("#missed-page")).to_be_visible()
        assert not user.is_wider_than_its_screen()
        user.take_screenshot("operator-missed")
        assert user.accessibility_violations() == []
        page.select_option("#missed-owner", value="nobody")
        page.locator(".missed-owner button").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        expect(page.get_by_text("Константинопольская").locator("visible=true")).to_have_count(0)
        page.locator("tbody th a").first.click()
        expect(page.locator("#result_list tbody tr").first).to_be_visible()
        assert user.errors == []
