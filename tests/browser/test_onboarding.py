"""The whole path in a browser, as the operator and as the client: from a name to the first pop-up, and offboarding."""

import time

import pytest
from django.utils import translation
from playwright.sync_api import expect

from connector_project.core.check_results import CHECKS, CheckResult
from tests.browser.chromium import on_one_screen
from tests.browser.driver import EVENTS, Client, Operator, seconds_since
from tests.simulator.fixtures import IVAN

pytestmark = pytest.mark.processes
# Legs of old calls are requested after those of today, within the account's rate limit and with the next sweep.
BACKLOG_SECONDS = 180
NAMES = {"ru": "Ромашка", "en": "Daisy"}


@pytest.fixture(autouse=True)
def _fresh(installation):
    """Delete the calls of the previous client, who had the same accounts."""
    installation.order("reset")


@on_one_screen
def test_onboarding_from_a_name_to_the_first_popup(installation, sign_in, language, size, record_property):
    name = f"{NAMES[language]} {size}"
    with sign_in(language, size) as operator_user:
        operator = Operator(operator_user, installation)
        operator.log_in()
        started_at = time.monotonic()
        link = operator.add(name)
        with sign_in(language, size) as client_user:
            client = Client(client_user, installation)
            _enter_keys(client, link, language)
            client.paste("waiting")
            installation.play("ring", employees=[IVAN])
            installation.until(_shows_a_popup, "the first pop-up")
            taken, clicks = seconds_since(started_at), operator_user.clicks + client_user.clicks
            record_property("from name to first pop-up", f"{taken:.1f} s, {clicks} clicks")
            print(f"\n{language} {size}: {taken:.1f} s, {clicks} clicks from the name to the first pop-up")  # noqa: T201
            expect(client.indicator("waiting")).to_have_class("indicator good")
            _set_up_other_events(client, installation)
            _send_a_sample_popup(client, installation)
            assert not client_user.is_wider_than_its_screen()
            assert client_user.errors == []
        _operate(operator, name)
        _import_past_calls(operator, installation, name)
        _take_further_screenshots(operator, installation, language)
        _disconnect(operator, installation, name)
        assert operator_user.errors == []


def _enter_keys(client, link, language):
    """A wrong key first: it is named with its menu path; the right one passes without another click."""
    page = client.person.page
    client.open(link)
    client.person.take_screenshot("client-start")
    assert client.person.accessibility_violations() == []
    client.enter(crm="wrong")
    error = page.locator(".message.error")
    expect(error).to_contain_text("CRM_KEY")
    with translation.override(language):
        expect(error).to_contain_text(CheckResult(CHECKS["CRM_KEY"], ok=False).message)
    client.person.take_screenshot("client-wrong-key", at="#button-title")
    client.person.clicks -= 1  # the mistake is not counted
    client.enter()
    expect(page.locator("#webhooks-title")).to_be_visible()
    expect(page.locator('[data-live^="event-"] .indicator.off')).to_have_count(len(EVENTS))


def _set_up_other_events(client, installation):
    """The other events; one body is broken on its way, named, and copied again."""
    page = client.person.page
    for event in EVENTS[1:]:
        client.paste(event)
    installation.play("end")  # only now: before this UIS does not notify of the end of a call
    page.locator("#number").select_option(index=1)
    client.person.click(page.locator("button[value=number]"))
    installation.play("ringing", employees=[IVAN], pause=0.3)
    installation.play("missed")
    body = page.locator("#body-waiting").input_value()
    address = page.locator("#address-waiting").input_value()
    installation.order("type", event="waiting", address=address, body=body.replace('"employee_id"', '"employee"'))
    installation.play("ring", employees=[IVAN])
    installation.play("end")
    expect(page.locator('[data-live="event-waiting"] .fault')).to_contain_text("employee_id")
    client.person.take_screenshot("client-broken-template", at="#webhook-waiting")
    installation.order("type", event="waiting", address=address, body=body)
    installation.play("ring", employees=[IVAN])
    installation.play("end")
    _click_in_the_crm(installation)
    for event in EVENTS:
        expect(client.indicator(event)).to_have_class("indicator good")
    page.reload()
    client.person.take_screenshot("client-on")
    client.person.take_screenshot("client-webhooks", at="#webhooks-title")
    assert client.person.accessibility_violations() == []


def _click_in_the_crm(installation):
    """A manager clicks a number: UIS notifies of an outgoing call."""
    installation.play("click", user=27)
    installation.until(lambda state: state["uis"]["dialled"], "UIS to be asked to dial")
    installation.play("dialled")
    installation.play("end", talk=5)


def _send_a_sample_popup(client, installation):
    page = client.person.page
    installation.until(lambda state: not _shows_a_popup(state), "the pop-up to close")
    page.locator("#person").select_option(index=0)
    page.fill("#contact", "+7 900 000-00-00")
    client.person.click(page.locator("button[value=card]"))
    expect(page.locator(".message.success")).to_be_visible()
    installation.until(_shows_a_popup, "the test pop-up")
    client.person.take_screenshot("client-popup", at="#card-title")
    client.person.click(page.locator("button[value=close]"))
    installation.until(lambda state: not _shows_a_popup(state), "the test pop-up to close")
    expect(page.locator("button[value=card]")).to_be_visible()


def _operate(operator, name):
    """The list, the client's page with its buttons, the employee mapping, one rule for many."""
    page, operator_user = operator.person.page, operator.person
    page.goto(f"{operator.installation.address}/admin/tenants/tenant/")
    expect(page.locator("#result_list")).to_contain_text(name)
    operator_user.take_screenshot("operator-clients")
    assert not operator_user.is_wider_than_its_screen()
    operator.open(name)
    operator.press("check")
    operator.open_until(name, "USERS_LINKED")
    operator_user.take_screenshot("operator-client")
    assert not operator_user.is_wider_than_its_screen()
    operator.press("pause", sure=True)
    operator.press("resume")
    page.locator('a[href$="/employee-mapping/"]').first.click()
    expect(page.locator("#content")).to_contain_text("Сидорова Анна")
    operator_user.take_screenshot("operator-mapping")
    assert not operator_user.is_wider_than_its_screen()
    operator.change_rule(name, "popup_outgoing", "OFF")


def _import_past_calls(operator, installation, name):
    """Calls from before the activation: a preview first, then the import; the page updates itself."""
    page, operator_user = operator.person.page, operator.person
    earlier = {installation.play("missed", days_ago=3, events=[])["session"] for _call in range(2)}
    earlier.add(installation.play("answered", days_ago=2, events=[])["session"])
    operator.open(name)
    page.locator('.admin-buttons a[href*="/bulkaction/import/"]').click()
    page.locator("#content form [type=submit]").click()
    start = page.locator('button[formaction$="/step/start/"]')
    expect(start).to_contain_text("3")
    operator_user.take_screenshot("operator-import")
    assert not operator_user.is_wider_than_its_screen()
    page.locator("input[name=choice][value=ALL]").check()
    start.click()
    expect(page.locator(".admin-done")).to_be_visible()
    installation.until(
        lambda state: earlier <= _in_the_crm(state), "the calls from before the activation", timeout=BACKLOG_SECONDS
    )
    assert not operator_user.is_wider_than_its_screen()


def _in_the_crm(state):
    """Return the sessions of the uploaded calls."""
    return {int(call["externalId"].removeprefix("uis-")) for call in state["crm"]["calls"]}


def _take_further_screenshots(operator, installation, language):
    """What else the README shows: the list of calls, and what the simulated CRM received."""
    page, operator_user = operator.person.page, operator.person
    page.goto(f"{installation.address}/admin/telephony/call/")
    expect(page.locator("#result_list tbody tr").first).to_be_visible()
    operator_user.take_screenshot("calls")
    page.goto(f"{installation.simulator}/?lang={language}")
    operator_user.take_screenshot("simulator")


def _disconnect(operator, installation, name):
    """Disconnect the client: a message confirms it, and the CRM shows it."""
    operator.open(name)
    operator.press("disconnect", sure=True)
    expect(operator.person.page.locator(".messagelist .success")).to_be_visible()
    operator.person.take_screenshot("operator-disconnected")
    assert not any(module["active"] for module in installation.state()["crm"]["modules"].values())


def _shows_a_popup(state):
    """Whether Ivan has an open pop-up; the note of a missed call is not one."""
    return [card for card in state["crm"]["popups"].get("27", []) if not card.get("missed")]
