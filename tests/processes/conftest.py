"""One installation for each kind of database, shared by the tests, and the table of what each fault came to."""

import os

import pytest

from tests.ports import free_pair
from tests.processes.accounting import LINES, as_table
from tests.processes.full_disk import Disk
from tests.processes.installation import VARIANTS, Plant
from tests.processes.servers import Missing

CLIENTS = 51


def absent(reason):
    """Skip, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=VARIANTS)
def installation(request):
    """SQLite alone, and PostgreSQL with Redis."""
    built = Plant(
        free_pair(),
        variant=request.param,
        clients=CLIENTS if request.param == "redis" else 2,
        has_disk=request.param == "sqlite" and Disk.can_be(),
    )
    try:
        built.set_up()
    except Missing as exc:
        built.tear_down()
        absent(str(exc))
    except BaseException:
        built.tear_down()
        raise
    yield built
    built.tear_down()


@pytest.fixture
def plant(installation):
    """The installation, whole again whatever the test before did to it."""
    installation.recover()
    return installation


def pytest_terminal_summary(terminalreporter):
    if LINES:
        terminalreporter.section("faults")
        for line in as_table(LINES):
            terminalreporter.write_line(line)
