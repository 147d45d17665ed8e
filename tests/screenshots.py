"""Takes the pictures of the README from a running demonstration: `make screenshots` while `make demo` is up.

python -m tests.screenshots ADDRESS SIMULATOR PASSWORD [FOLDER]
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
PAGES = {
    "clients": "/admin/tenants/tenant/",
    "client": "/admin/tenants/tenant/1/change/",
    "calls": "/admin/telephony/call/",
}


def main(address: str, simulator: str, password: str, folder: str = "docs/screenshots") -> None:
    """Take every page at both sizes in both languages; the plain name is the English one on a desktop."""
    where = Path(folder)
    for language in ("en", "ru"):
        for size, (width, height) in SIZES.items():
            end = "" if (language, size) == ("en", "desktop") else f".{language}.{size}"
            with _browser(language, width, height) as page:
                _log_in(page, address, password)
                for name, path in PAGES.items():
                    page.goto(address + path)
                    page.screenshot(path=where / f"{name}{end}.png")
                page.goto(f"{simulator}/?lang={language}")
                page.screenshot(path=where / f"simulator{end}.png")


@contextmanager
def _browser(language: str, width: int, height: int) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(locale=language, viewport={"width": width, "height": height})
        yield page
        browser.close()


def _log_in(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/admin/login/?next=/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", password)
    page.click("[type=submit]")


if __name__ == "__main__":
    main(*sys.argv[1:])
