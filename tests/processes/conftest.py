"""One installation for each kind of database, shared by the tests, and the table of what each fault came to."""

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.needs import missing
from tests.ports import free_pair
from tests.processes.accounting import HEAD, LINES
from tests.processes.full_disk import Disk
from tests.processes.installation import Installation
from tests.processes.servers import Missing

CLIENTS = 51
FAULT = "fault"
TABLE = []


class ByInstallation(LoadScopeScheduling):
    """Gives one worker all tests of an installation, which is then started once; of other tests those of a file."""

    def _split_scope(self, nodeid):
        path, _, test = nodeid.partition("::")
        variant = re.search(r"\[.*?\b(redis|sqlite)\b", test)
        return variant[1] if variant and path.startswith("tests/processes/") else path


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_make_scheduler(config, log):
    return ByInstallation(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session", params=[pytest.param("sqlite", marks=pytest.mark.exhaustive), "redis"])
def shared_installation(request):
    """SQLite alone, and PostgreSQL with Redis, as in production. A test that must see both every time says so."""
    built = Installation(
        free_pair(),
        variant=request.param,
        clients=CLIENTS if request.param == "redis" else 2,
        has_disk=request.param == "sqlite" and Disk.can_be(),
    )
    try:
        built.set_up()
    except Missing as exc:
        built.tear_down()
        missing(str(exc))
    except BaseException:
        built.tear_down()
        raise
    yield built
    built.tear_down()


@pytest.fixture
def installation(shared_installation, request):
    """The installation, whole again whatever the test before did to it."""
    shared_installation.recover()
    seen = len(LINES)
    yield shared_installation
    request.node.user_properties += [(FAULT, str(line)) for line in LINES[seen:]]


def pytest_runtest_logreport(report):
    """Collect the lines of all workers."""
    if report.when == "teardown":
        TABLE.extend(line for name, line in report.user_properties if name == FAULT)


def pytest_terminal_summary(terminalreporter):
    if TABLE:
        terminalreporter.section("faults")
        for line in [HEAD, *TABLE]:
            terminalreporter.write_line(line)
