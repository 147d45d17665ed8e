"""One installation for all browser tests, without any client at the start of a module, and the people who use it."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser

from tests import needs
from tests.browser.chromium import PROGRAM, Person, launched, person
from tests.ports import free_pair
from tests.processes.installation import Installation


class EmptyInstallation(Installation):
    """An installation on SQLite without a client."""

    def add_client(self) -> None:
        """Add and activate the client of the demonstration."""
        super()._add_client()

    def remove_clients(self) -> None:
        """Delete all clients, here and at the vendors; the staff stay."""
        self.order("clear")
        self.ask("delete_clients")

    def _add_client(self) -> None:
        """The operator adds the client."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests. Its event loop runs in their thread, where Django would allow no queries."""
    needs.program(PROGRAM, package="chromium")
    with pytest.MonkeyPatch.context() as patch, launched() as chromium:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield chromium


@pytest.fixture(scope="session")
def shared_installation(browser: Browser) -> Iterator[EmptyInstallation]:
    """Web, workers and both vendors simulated, in processes of their own: starting them takes half a minute."""
    built = EmptyInstallation(free_pair())
    try:
        built.set_up()
        yield built
    finally:
        built.tear_down()


@pytest.fixture(scope="module")
def installation(shared_installation: EmptyInstallation) -> Iterator[EmptyInstallation]:
    """The installation, which only the tests of this module have changed."""
    yield shared_installation
    shared_installation.remove_clients()


@pytest.fixture
def sign_in(browser: Browser) -> Callable[[str, str], AbstractContextManager[Person]]:
    """Open a browser context for a person: language, size."""
    return functools.partial(person, browser)
