"""A whole installation without any client, and the two people who connect one."""

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

    def _add_client(self) -> None:
        """The operator adds the client."""


@pytest.fixture(scope="module")
def kind() -> type[Installation]:
    """The installation a module starts with; a module may override it to have a client already."""
    return EmptyInstallation


@pytest.fixture(scope="module")
def installation(kind: type[Installation]) -> Iterator[Installation]:
    """Web, workers and both vendors simulated, in processes of their own."""
    needs.program(PROGRAM, package="chromium")
    built = kind(free_pair())
    try:
        built.set_up()
        yield built
    finally:
        built.tear_down()


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Iterator[Browser]:
    """Chromium, once for all tests of a module."""
    with launched() as chromium:
        yield chromium


@pytest.fixture
def sign_in(browser: Browser) -> Callable[[str, str], AbstractContextManager[Person]]:
    """Open a browser context for a person: language, size."""
    return functools.partial(person, browser)
