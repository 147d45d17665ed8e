"""A client reports a missing call: support searches for its number, sees why, and retries it."""

import pytest
from django.utils import translation
from playwright.sync_api import expect

from tenants import rule_labels
from tenants.transfer_rules import SkipReason
from tests.browser.chromium import on_one_screen
from tests.browser.driver import Operator
from tests.simulator.fixtures import IVAN

pytestmark = pytest.mark.processes
NAME = "Demo"
PASSWORD = "sees-and-retries"
_SUPPORT = f"""
from django.contrib.auth.models import Group
from tenants.models import User
support = User.objects.create_user("sveta", password="{PASSWORD}", is_staff=True)
support.groups.add(Group.objects.get(name="Support"))
"""
_MISSED_OFF = """
from tests.rules import publish_rules_for_all
publish_rules_for_all(upload_missed=False)
"""
CALLERS = {("ru", "desktop"): 501, ("ru", "phone"): 502, ("en", "desktop"): 503, ("en", "phone"): 504}


@pytest.fixture(scope="module")
def support(installation):
    """A client that is active already, and a user of Support."""
    installation.add_client()
    installation.ask("execute", _SUPPORT)


@pytest.fixture
def _missed_off(installation):
    """The reason: a rule of the client."""
    installation.ask("execute", _MISSED_OFF)


@pytest.mark.usefixtures("support", "_missed_off")
@on_one_screen
def test_skipped_call_is_found_by_its_number_and_retried(installation, sign_in, language, size):
    last = CALLERS[language, size]
    with translation.override(language):
        rule = str(rule_labels.label(SkipReason.MISSED_OFF))
    session = installation.play("missed", employees=[IVAN], contact=f"79990000{last}")["session"]
    installation.wait_for(lambda: [session, "SKIPPED"] in installation.ask("rows")["calls"], "the rule's decision")
    with sign_in(language, size) as user, sign_in(language, size) as operator_user:
        support, operator, page = Operator(user, installation), Operator(operator_user, installation), user.page
        support.log_in("sveta", PASSWORD)
        _find(support, f"8 (999) 000-0{last // 100}-{last % 100:02}", rule)
        _see_why(user, rule)
        operator.log_in()
        operator.change_rule(NAME, "upload_missed", "True")
        page.locator('.admin-buttons form[action$="/retry/"] button').click()
        # The CRM has the call before the row is written.
        installation.wait_for(lambda: [session, "UPLOADED"] in installation.ask("rows")["calls"], "the upload")
        page.reload()
        expect(page.locator(".status-line")).to_contain_text("UPLOADED")
        user.take_screenshot("admin-call-retried")
        assert not user.is_wider_than_its_screen()
        assert (user.errors, operator_user.errors) == ([], [])


@pytest.mark.usefixtures("support")
@pytest.mark.parametrize("size", [pytest.param("desktop", marks=pytest.mark.exhaustive), "phone"])
def test_unreadable_notifications_come_with_a_message_for_the_client(installation, sign_in, size):
    installation.play("broken")
    with sign_in("en", size) as user:
        support, page = Operator(user, installation), user.page
        support.log_in("sveta", PASSWORD)
        page.goto(f"{installation.address}/admin/telephony/notification/unreadable/")
        page.locator("summary").first.click()
        expect(page.locator(".admin-instructions").first).to_be_visible()
        user.take_screenshot("admin-unreadable")
        _is_readable(user)


def _find(support, number, rule):
    """Type the number as the client writes it; the list shows the call, masked, and why it was skipped."""
    page = support.person.page
    page.goto(f"{support.installation.address}/admin/telephony/call/")
    support.person.take_screenshot("admin-log")
    _is_readable(support.person)
    page.fill("#changelist-search [name=q]", number)
    page.locator("#changelist-search [type=submit]").click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(rule)
    expect(rows).to_contain_text("7999***")
    support.person.take_screenshot("admin-found")
    rows.get_by_role("link").first.click()


def _see_why(user, rule):
    """The page names the rule and its setting, and shows the timeline."""
    page = user.page
    expect(page.locator(".status-line")).to_contain_text("MISSED_OFF")
    expect(page.locator(".status-line")).to_contain_text(rule)
    expect(page.locator(".timeline li").first).to_be_visible()
    user.take_screenshot("admin-call")
    page.locator(".timeline summary").first.click()
    _is_readable(user)


def _is_readable(user):
    assert not user.is_wider_than_its_screen()
    assert user.accessibility_violations() == []
