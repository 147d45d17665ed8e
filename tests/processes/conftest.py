"""One installation for each kind of database, shared by the tests, and the table of the results of all faults."""

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.needs import missing
from tests.ports import free_pair
from tests.processes.accounting import HEAD, LINES
from tests.processes.full_disk import Disk
from tests.processes.installation import Installation
from tests.processes.servers import Missing
from tests.processes.web_server import Prepared

CLIENTS = 51
FAULT = "fault"
BROWSER = "tests/browser/"
WEB = ("tests/processes/test_web_process.py", "tests/processes/test_proxy.py")
TABLE = []


class ByInstallation(LoadScopeScheduling):
    """Runs all tests of an installation in one worker, so that it is started once; other tests are grouped by file.

    The crawl of the pages has a server of its own; the two files about the web process share a database.
    """

    def _split_scope(self, nodeid):
        path, _, test = nodeid.partition("::")
        variant = re.search(r"\[.*?\b(redis|sqlite)\b", test)
        if variant and path.startswith("tests/processes/"):
            return variant[1]
        if path in WEB:
            return WEB[0]
        return BROWSER if path.startswith(BROWSER) and not path.endswith("test_content_security.py") else path


@pytest.hookimpl(optionalhook=True)  # unknown without pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    return ByInstallation(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session", params=[pytest.param("sqlite", marks=pytest.mark.exhaustive), "redis"])
def shared_installation(request):
    """SQLite alone (exhaustive runs only), and PostgreSQL with Redis, as in production."""
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


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The database that web servers without workers start with."""
    built = Prepared(tmp_path_factory.mktemp("prepared"))
    built.create()
    return built


@pytest.fixture
def installation(shared_installation, request):
    """The installation, recovered from what the previous test did to it."""
    shared_installation.recover()
    count = len(LINES)
    yield shared_installation
    request.node.user_properties += [(FAULT, str(line)) for line in LINES[count:]]


def pytest_runtest_logreport(report):
    """Collect the lines of all workers."""
    if report.when == "teardown":
        TABLE.extend(line for name, line in report.user_properties if name == FAULT)


def pytest_terminal_summary(terminalreporter):
    if TABLE:
        terminalreporter.section("faults")
        for line in [HEAD, *TABLE]:
            terminalreporter.write_line(line)
