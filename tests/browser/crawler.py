"""Opens pages and everything that opens on them, and collects what the browser refused meanwhile."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from django.urls import Resolver404, resolve
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Response

# Reported to the test at once: the page may be gone a moment later.
_LISTEN = """
document.addEventListener("securitypolicyviolation", (event) => reportViolation(
  `${event.effectiveDirective} refused ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`));
"""
# Opens what a page keeps closed: calendars, menus, lists, rows to add, operations of the API.
_OPEN = """
async () => {
  const settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const closed = [
    ".datetimeshortcuts a", ".theme-toggle", ".collapse-toggle", ".add-row a", ".selector-add", ".select2-selection",
    "button.copy", ".opblock-summary-control", ".try-out__btn", ".authorize",
  ].join(", ");
  const isDocumentation = document.querySelector("#swagger-ui") !== null;
  while (isDocumentation && !document.querySelector(".opblock")) await settled();
  for (const one of document.querySelectorAll("details:not([open])")) one.open = true;
  const done = new Set();
  for (let round = 0; round < 3; round += 1) {
    for (const one of document.querySelectorAll(closed)) {
      if (done.has(one) || !one.isConnected || one.disabled || !one.checkVisibility()) continue;
      done.add(one);
      one.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
      one.click();
    }
    await settled();
  }
  for (const one of document.querySelectorAll("dialog:not([open])")) one.showModal();
  await settled();
}
"""
_LINKS = "[...document.links].map((one) => one.href)"
_ACTIONS = "[...document.querySelectorAll('select[name=action] option')].map((one) => one.value).filter(Boolean)"
# Parameters of addresses that name a row.
_ROWS = {"pk", "object_id", "id", "tenant_id", "token", "hook"}
_MOST_POPUPS = 3
# Shown by the browser itself, with a request for an icon of the site.
_FILES = {"/api/v1/schema/"}


@dataclass
class Crawl:
    """A browser window, what was visited with it, and what went wrong there."""

    context: BrowserContext
    address: str  # of the site
    with_queries: bool = False  # whether a page with another filter is another page
    is_short: bool = False  # whether each kind of page, pop-up window and action is opened once
    page: Page = field(init=False)
    problems: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)  # kinds of pages
    popped_up: set[str] = field(default_factory=set)  # kinds of pages

    def __post_init__(self) -> None:
        self.context.expose_function("reportViolation", lambda text: self.report(text))
        self.context.add_init_script(_LISTEN)
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self.report(str(error.error)))
        self.page = self.context.new_page()

    def report(self, text: str) -> None:
        self.problems.append(f"{self.page.url.removeprefix(self.address)}: {text}")

    def crawl(self, paths: Iterable[str]) -> list[str]:
        """Visit pages and what they link to, run each action of each list; return what went wrong."""
        linked: dict[str, str] = {}
        actions: dict[tuple[str, str], str] = {}
        for path in paths:
            if self.is_short and self.kind_of(path) in self.visited:
                continue
            response = self.visit(path)
            if response is not None and response.ok:
                linked |= self.links()
                actions |= {("" if self.is_short else path, name): path for name in self.actions()}
        for kind, path in linked.items():
            if kind not in self.visited:
                self.visit(path)
        for (_list, name), path in actions.items():
            self.run_action(path, name)
        return self.problems

    def visit(self, path: str) -> Response | None:
        """Open a page and everything that opens on it; None if it is a file to download."""
        self.visited.add(self.kind_of(path))
        try:
            response = self.page.goto(f"{self.address}{path}")
        except Error as exc:
            if "Download is starting" not in exc.message:
                raise
            return None
        assert response is not None, path
        if "content-security-policy" not in response.headers:
            self.report("no Content-Security-Policy")
        self._open_popups()
        self.page.evaluate(_OPEN)
        return response

    def links(self) -> dict[str, str]:
        """Return the links of the open page that stay on this site, by the kind of page that they lead to."""
        found: list[str] = self.page.evaluate(_LINKS)
        own = [link.removeprefix(self.address).partition("#")[0] for link in found if link.startswith(self.address)]
        return {self.kind_of(link): link for link in own if link.startswith("/") and link not in _FILES}

    def actions(self) -> list[str]:
        """Return the names of the actions that the open list offers."""
        names: list[str] = self.page.evaluate(_ACTIONS)
        return names if self.page.locator("input.action-select").count() else []

    def run_action(self, path: str, name: str) -> None:
        """Run an action for the first row of a list, and look at the page that follows."""
        self.page.goto(f"{self.address}{path}")
        box = self.page.locator("input.action-select").first
        if not box.count():
            return  # An earlier action was the end of the last row.
        box.check()
        self.page.locator("select[name=action]").select_option(name)
        with self.page.expect_navigation():
            self.page.locator("#changelist-form button[name=index]").click()
        self.page.evaluate(_OPEN)

    def kind_of(self, path: str) -> str:
        """Return what tells one page from another: the URL's name, its choices that are no rows, the query's names."""
        parts = urlsplit(path)
        try:
            match = resolve(parts.path)
        except Resolver404:
            return path
        chosen = [f"{name}={value}" for name, value in match.kwargs.items() if name not in _ROWS]
        asked = sorted(parse_qs(parts.query)) if self.with_queries else []
        return " ".join([match.view_name or match.route, *chosen, *asked])

    def _open_popups(self) -> None:
        """Open the pop-up windows of the open form and close them, before a calendar covers their links."""
        for link in self.page.locator("a.related-widget-wrapper-link[href]:visible").all()[:_MOST_POPUPS]:
            kind = self.kind_of(link.get_attribute("href") or "")
            if self.is_short and kind in self.popped_up:
                continue
            self.popped_up.add(kind)
            with self.page.expect_popup() as coming:
                link.click()
            coming.value.wait_for_load_state()
            coming.value.close()

    def _hear(self, message: ConsoleMessage) -> None:
        # The status of a page that is itself an error is no problem.
        is_of_page = message.page is not None and message.location.get("url") == message.page.url
        if message.type == "error" and not (is_of_page and message.text.startswith("Failed to load resource")):
            self.report(message.text)
