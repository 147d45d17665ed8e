"""A whole installation without any client, and the two people who bring one on."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import PROGRAM, Person, launched, person
from tests.ports import free_pair
from tests.processes.installation import Plant


class Empty(Plant):
    """An installation on SQLite into which nobody has entered a client yet."""

    def _add_client(self) -> None:
        """Leave that to the operator."""


@pytest.fixture(scope="module")
def kind() -> type[Plant]:
    """What a module begins with; one may say that its client is there already."""
    return Empty


@pytest.fixture(scope="module")
def plant(kind: type[Plant]) -> Iterator[Plant]:
    """Web, workers and both vendors simulated, in processes of their own."""
    if not PROGRAM.exists():
        missing = f"{PROGRAM} is not there: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    built = kind(free_pair())
    try:
        built.set_up()
        yield built
    finally:
        built.tear_down()


@pytest.fixture(scope="module")
def browser(plant: Plant) -> Iterator[Browser]:
    """Chromium, once for all tests of a module."""
    with launched() as chromium:
        yield chromium


@pytest.fixture
def sit_down(browser: Browser) -> Callable[[str, str], AbstractContextManager[Person]]:
    """Give somebody a screen of his own: language, size."""
    return functools.partial(person, browser)
