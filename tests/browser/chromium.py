"""Debian's Chromium, driven like a user would: clicks are counted, pages can be saved as screenshots."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

PROGRAM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
# Each language and each size in every run, the other pairs of them in the long one.
on_screens = pytest.mark.parametrize(
    ("language", "size"),
    [
        ("ru", "phone"),
        ("en", "desktop"),
        pytest.param("ru", "desktop", marks=pytest.mark.exhaustive),
        pytest.param("en", "phone", marks=pytest.mark.exhaustive),
    ],
)
# For what flow tests prove without a browser: one pair in every run, all in the long one.
on_one_screen = pytest.mark.parametrize(
    ("language", "size"),
    [
        ("ru", "phone"),
        pytest.param("en", "desktop", marks=pytest.mark.exhaustive),
        pytest.param("ru", "desktop", marks=pytest.mark.exhaustive),
        pytest.param("en", "phone", marks=pytest.mark.exhaustive),
    ],
)
TIMEOUT_MS = 30_000
# Directory for screenshots; without it, none are taken.
FOLDER = os.environ.get("SCREENSHOTS", "")


@dataclass
class Person:
    """A user with a browser window."""

    page: Page
    language: str
    size: str
    clicks: int = 0
    errors: list[str] = field(default_factory=list)

    def click(self, locator: Locator) -> None:
        """Click and count it."""
        locator.click()
        self.clicks += 1

    def take_screenshot(self, name: str, *, at: str = "body") -> None:
        """Save a screenshot, scrolled to `at`, if SCREENSHOTS is set."""
        if FOLDER:
            folder = Path(FOLDER)
            folder.mkdir(parents=True, exist_ok=True)
            self.page.locator(at).first.evaluate("part => part.scrollIntoView()")
            self.page.screenshot(path=folder / f"{name}.{self.language}.{self.size}.png")

    def accessibility_violations(self) -> list[str]:
        """Return the accessibility violations that axe-core finds."""
        results = Axe().run(
            self.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
        )
        return [
            f"{violation['id']}: {violation['nodes'][0]['html'][:120]}" for violation in results.response["violations"]
        ]

    def is_wider_than_its_screen(self) -> bool:
        """Return whether the page scrolls horizontally."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@contextmanager
def launched() -> Iterator[Browser]:
    """Start Chromium; whatever a test expects of a page has as long as a click."""
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def person(browser: Browser, language: str, size: str, *, has_scripts: bool = True) -> Iterator[Person]:
    """Open a browser context with one page; script errors on it are collected."""
    width, height = SIZES[size]
    context = browser.new_context(
        locale={"ru": "ru-RU", "en": "en-GB"}[language],
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"],
        java_script_enabled=has_scripts,
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    user = Person(page, language, size)
    page.on("pageerror", lambda error: user.errors.append(str(error)))
    page.on("console", lambda message: user.errors.append(message.text) if message.type == "error" else None)
    try:
        yield user
    finally:
        context.close()
