"""Debian's Chromium, driven as a person drives it: every click is counted, every page may leave its picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, sync_playwright

PROGRAM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
PATIENCE_MS = 30_000
# Where pictures go; without it none are taken.
FOLDER = os.environ.get("SCREENSHOTS", "")


@dataclass
class Person:
    """Somebody at a screen."""

    page: Page
    language: str
    size: str
    clicks: int = 0
    errors: list[str] = field(default_factory=list)

    def click(self, what: Locator) -> None:
        """Click once, and count it."""
        what.click()
        self.clicks += 1

    def picture(self, name: str, *, at: str = "body") -> None:
        """Keep what the screen shows when it is scrolled to `at`, where pictures are wanted."""
        if FOLDER:
            where = Path(FOLDER)
            where.mkdir(parents=True, exist_ok=True)
            self.page.locator(at).first.evaluate("part => part.scrollIntoView()")
            self.page.screenshot(path=where / f"{name}.{self.language}.{self.size}.png")

    def barriers(self) -> list[str]:
        """Return what a screen reader, a keyboard or weak eyes would stumble over, by the rules of axe-core."""
        found = Axe().run(self.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
        return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found.response["violations"]]

    def is_wider_than_its_screen(self) -> bool:
        """Say whether the page must be pushed sideways to be read."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@contextmanager
def launched() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def person(browser: Browser, language: str, size: str, *, has_scripts: bool = True) -> Iterator[Person]:
    """Give one person a screen of his own; what its pages complain of is collected."""
    width, height = SIZES[size]
    context = browser.new_context(
        locale={"ru": "ru-RU", "en": "en-GB"}[language],
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"],
        java_script_enabled=has_scripts,
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    someone = Person(page, language, size)
    page.on("pageerror", lambda error: someone.errors.append(str(error)))
    page.on("console", lambda said: someone.errors.append(said.text) if said.type == "error" else None)
    try:
        yield someone
    finally:
        context.close()
