"""What the users do in the browser: the operator in the admin, the client on their page and in UIS."""

import re
import time
from dataclasses import dataclass

from playwright.sync_api import Locator, expect

from tests.browser.chromium import Person
from tests.processes.installation import Installation
from tests.simulator.environment import ADMIN
from tests.simulator.fixtures import CRM_KEY, UIS_TOKEN

EVENTS = ("waiting", "outgoing", "talk_started", "call_end", "lost_call", "recorded")


@dataclass
class Operator:
    """A user of the admin."""

    person: Person
    installation: Installation

    def log_in(self, name: str = ADMIN, password: str = "") -> None:
        page = self.person.page
        page.goto(f"{self.installation.address}/admin/login/?next=/admin/tenants/tenant/")
        page.fill("#id_username", name)
        page.fill("#id_password", password or self.installation.password)
        page.click("[type=submit]")

    def add(self, name: str) -> str:
        """Add a client; return their activation link."""
        page = self.person.page
        page.goto(f"{self.installation.address}/admin/tenants/tenant/add/")
        page.fill("#id_name", name)
        self.person.take_screenshot("operator-add")
        self.person.click(page.locator("[name=_save]"))
        message = page.locator(".messagelist").inner_text()
        found = re.search(r"https?://\S+/activate/[\w-]+/", message)
        assert found, message
        return found[0]

    def open(self, name: str) -> None:
        """Open a client's page."""
        page = self.person.page
        page.goto(f"{self.installation.address}/admin/tenants/tenant/")
        page.get_by_role("link", name=name, exact=True).click()

    def open_until(self, name: str, text: str) -> None:
        """Open a client's page again and again until it shows a text that a worker writes."""

        def is_shown() -> bool:
            self.open(name)
            return text in self.person.page.locator(".admin-panel").first.inner_text()

        self.installation.wait_for(is_shown, text, interval=0.5)

    def change_rule(self, name: str, rule: str, value: str) -> None:
        """Change one rule of a client with the list's bulk action."""
        page = self.person.page
        page.goto(f"{self.installation.address}/admin/tenants/tenant/")
        row = page.locator("#result_list tr", has_text=name)
        row.locator("input.action-select").check()
        page.locator("select[name=action]").select_option("change_one_rule")
        page.locator("button[name=index]").click()
        page.locator("select[name=rule]").select_option(rule)
        page.locator("#content [type=submit]").first.click()
        page.locator("[name=value]").select_option(value)
        page.locator("[name=why]").fill("as the client asked")
        page.locator("#content [type=submit]").first.click()
        self.person.take_screenshot("operator-rule")
        page.locator("#content [name=confirm]").click()
        expect(page.locator(".messagelist .success")).to_be_visible()

    def press(self, button: str, *, sure: bool = False) -> None:
        """Press a button on the client's page; `sure` confirms buttons that ask first."""
        page = self.person.page
        where = f'.admin-buttons [href$="/action/{button}/"], .admin-buttons [action$="/action/{button}/"] button'
        with page.expect_navigation():  # Otherwise the page before may still be there.
            page.locator(where).click()
        if sure:
            page.locator(".admin-confirm").wait_for()
            self.person.take_screenshot(f"operator-{button}")
            if page.locator("#typed-slug").count():
                page.fill("#typed-slug", page.locator("label[for=typed-slug]").inner_text().split()[-1])
            page.locator("#content form button[type=submit], #content form input[type=submit]").first.click()


@dataclass
class Client:
    """A client's administrator with an activation link."""

    person: Person
    installation: Installation

    def open(self, link: str) -> None:
        self.person.page.goto(link)

    def enter(self, *, uis: str = UIS_TOKEN, crm: str = CRM_KEY) -> None:
        """Enter both keys and submit."""
        page = self.person.page
        if not page.locator("#keys-access_token").is_visible():
            page.locator("section:has(#keys-title) summary").click()
        page.fill("#keys-access_token", uis)
        page.fill("#keys-address", f"{self.installation.simulator}/orders/1")
        page.fill("#keys-key", crm)
        self.person.click(page.locator("form.keys button"))

    def paste(self, event: str) -> None:
        """Copy URL and body with one click each, and enter them in UIS."""
        details = self.person.page.locator(f"article:has(#webhook-{event}) details")
        if details.get_attribute("open") is None:
            self.person.click(details.locator("summary"))
        address, body = (self._copied(f"{part}-{event}") for part in ("address", "body"))
        self.installation.order("type", event=event, address=address, body=body)

    def indicator(self, event: str) -> Locator:
        """Return the status indicator of an event."""
        return self.person.page.locator(f'[data-live="event-{event}"] .indicator')

    def _copied(self, source: str) -> str:
        button = self.person.page.locator(f'button[data-copy="{source}"]')
        self.person.click(button)
        copied: str = self.person.page.evaluate("navigator.clipboard.readText()")
        assert copied == self.person.page.locator(f"#{source}").input_value()
        return copied


def seconds_since(started_at: float) -> float:
    """Return the seconds since `started_at`, by the monotonic clock."""
    return time.monotonic() - started_at
