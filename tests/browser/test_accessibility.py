"""The client's page without scripts and by keyboard alone."""

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Client, Operator
from tests.simulator.fixtures import CRM_KEY, IVAN, UIS_TOKEN

pytestmark = pytest.mark.processes


@pytest.fixture
def link(installation, sign_in, request):
    """The link of a client that was just added."""
    installation.order("reset")
    with sign_in("en", "desktop") as operator_user:
        operator = Operator(operator_user, installation)
        operator.log_in()
        yield operator.add(request.node.name)
        operator.open(request.node.name)
        operator.press("disconnect", sure=True)


def test_page_works_without_scripts(installation, sign_in, link):
    with sign_in("en", "phone", has_scripts=False) as client_user:
        client = Client(client_user, installation)
        client.open(link)
        client.enter()
        # The page reloads itself until the activation is done.
        expect(client_user.page.locator("#webhooks-title")).to_be_visible(timeout=30_000)
        assert client_user.page.locator("button.copy").first.is_hidden()
        body = client_user.page.locator("#body-waiting").input_value()
        address = client_user.page.locator("#address-waiting").input_value()
        installation.order("type", event="waiting", address=address, body=body)
        installation.play("ring", employees=[IVAN])
        _reload_until(client_user.page, lambda: client.indicator("waiting").get_attribute("class") == "indicator good")
        client_user.page.locator("#number").select_option(index=1)
        client_user.page.locator("button[value=number]").click()
        expect(client_user.page.locator(".message.success")).to_contain_text("+7")


def test_page_works_with_the_keyboard_alone(installation, sign_in, link):
    with sign_in("en", "desktop") as client_user:
        page = client_user.page
        page.goto(link)
        for wanted, text in (
            ("keys-access_token", UIS_TOKEN),
            ("keys-address", installation.simulator),
            ("keys-key", CRM_KEY),
        ):
            _tab_to(page, f"document.activeElement.id === '{wanted}'")
            page.keyboard.type(text)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#webhooks-title")).to_be_visible(timeout=30_000)
        _tab_to(page, "document.activeElement.dataset.copy === 'address-waiting'")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.evaluate("navigator.clipboard.readText()") == page.locator("#address-waiting").input_value()


def _reload_until(page, is_there, *, within=90):
    """Reload a page that does not refresh itself, until a worker has processed what it shows."""
    for _second in range(within):
        page.reload()
        if is_there():
            return
        page.wait_for_timeout(1000)
    raise AssertionError("The page does not show it.")


def _tab_to(page, is_there, *, within=60):
    for _press in range(within):
        if page.evaluate(is_there):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The keyboard does not reach {is_there}")
