"""A whole installation without any client, and the two people who bring one on."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.browser.chromium import PROGRAM, Person, person
from tests.ports import free_pair
from tests.processes.plant import Plant


class Empty(Plant):
    """An installation on SQLite into which nobody has entered a client yet."""

    def _add_client(self) -> None:
        """Leave that to the operator."""


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    """Web, workers and both vendors simulated, in processes of their own."""
    if not PROGRAM.exists():
        missing = f"{PROGRAM} is not there: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    built = Empty.on("sqlite", port=free_pair())
    try:
        built.set_up()
        yield built
    finally:
        built.tear_down()


@pytest.fixture
def sit_down() -> Callable[[str, str], AbstractContextManager[Person]]:
    """Give somebody a browser of his own: language, size of the screen."""
    return person
