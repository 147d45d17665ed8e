"""The preview of a draft: started, watched and read, on a desktop and on a phone, in both languages."""

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import on_screens
from tests.browser.driver import Operator

pytestmark = pytest.mark.processes
# Yesterday's calls of one client, half of them missed, and a draft that skips missed ones.
_CALLS = """
from datetime import timedelta
from django.utils import timezone
from telephony.models import Call, CallLogEntry
from tenants.models import Employee, RuleDraft
from tenants.onboarding import NewTenant, create_tenant
now = timezone.now()
keys = {"uis_token": "t", "crm_url": "https://daisy.retailcrm.ru", "crm_key": "k"}
tenant = create_tenant(NewTenant(name="Daisy", slug="daisy", **keys), now=now)
ivan = Employee.objects.create(tenant=tenant, uis_id=1, full_name="Иванов Иван", extension="101", crm_user_id=27)
at = now.astimezone(tenant.zone).replace(hour=12, minute=0) - timedelta(days=1)
missed = {"result": "NO_ANSWER", "is_lost": True}
answered = {"result": "ANSWERED", "is_lost": False, "talk_seconds": 30, "has_legs": True}
for number in range(20):
    whose = {"tenant": tenant, "session_id": number, "employee": ivan, "direction": "in"}
    whose |= {"contact": f"7999000{number:04d}", "number": "74950000001"}
    ended = {"started_at": at, "ended_at": at, "retry_window_started_at": at, "state": "UPLOADED", "uploaded_at": at}
    call = Call.objects.create(**whose, **ended, **(missed if number % 2 else answered))
    details = {"result": call.result, "code": "101", "user": 27, "employee": 1, "version": 1, "known": False}
    CallLogEntry.objects.create(call=call, at=at, step="UPLOAD", details=details)
RuleDraft.objects.filter(tenant=tenant).update(upload_missed=False, owner="FIRST_TALKER")
"""


@pytest.fixture(scope="module")
def past_calls(installation):
    installation.ask("execute", _CALLS)


@pytest.mark.usefixtures("past_calls")
@on_screens
def test_operator_previews_the_draft(installation, sign_in, language, size):
    with sign_in(language, size) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        operator.open("Daisy")
        page.locator('a[href$="/rules/preview/"]').click()
        _is_readable(user, "operator-preview-start")
        page.locator("#content form.admin-reason [type=submit]").click()
        expect(page.locator('[data-counts="call"] [data-count="skipped"] td strong')).to_have_text("10")
        expect(page.locator("[data-samples] tbody tr")).to_have_count(30)
        _is_readable(user, "operator-preview")
        page.locator('#content a[href$="/rules/publish/"]').click()
        expect(page.locator("[data-latest-preview] a")).to_be_visible()
        expect(page.locator("[name=skip_all]")).to_be_visible()


def _is_readable(user, name):
    assert not user.is_wider_than_its_screen()
    user.take_screenshot(name)
    assert user.accessibility_violations() == []
    assert user.errors == []


@pytest.mark.usefixtures("past_calls")
def test_progress_is_shown_without_scripts(installation, sign_in):
    with sign_in("en", "phone", has_scripts=False) as user:
        operator, page = Operator(user, installation), user.page
        operator.log_in()
        operator.open("Daisy")
        page.locator('a[href$="/rules/preview/"]').click()
        page.locator("#content form.admin-reason [type=submit]").click()
        expect(page.locator("progress")).to_be_visible()
        expect(page.locator('[data-counts="call"]')).to_be_visible(timeout=20_000)
