"""Fixtures of all tests: both vendors, an activated client, and the real queue."""

import gc
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import responses
import time_machine
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, settings

from tenants.models import Tenant
from tests import needs, tenant_factory
from tests import task_queue as real_queue
from tests.fakes import retailcrm, uis
from tests.fakes.alert_receiver import Receiver
from tests.fakes.uis_account import FIRST_SESSION
from tests.ports import free_port
from tests.processes.servers import Missing, Redis

NUMBER = "74950000001"
CONTACT = "79990000001"
IVAN, PETR, ANNA = 300001, 300002, 300003
CRM_HOST = "acct-example.retailcrm.ru"


# How long an example takes says something about the machine, not about the code.
settings.register_profile("connector", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("connector")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the further cases of sampled tests to the exhaustive run."""
    seen = Counter[str]()
    for item in items:
        if marker := item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > marker.args[0]:
                item.add_marker(pytest.mark.exhaustive)


def pytest_collection_finish() -> None:
    """Exclude collected tests from garbage collection: scanning them took a tenth of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis of this test process alone: others run the same tests at the same time."""
    server = Redis(free_port())
    try:
        server.set_up()
    except Missing as exc:
        server.remove()
        needs.missing(str(exc))
    yield server
    server.remove()


@pytest.fixture
def _wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def uis_world(_wire: responses.RequestsMock) -> uis.FakeUis:
    """The fake UIS with all its accounts."""
    world = uis.FakeUis()
    world.mount(_wire)
    return world


@pytest.fixture
def crm_world(_wire: responses.RequestsMock) -> retailcrm.FakeRetailCrm:
    """The fake retailCRM with all its accounts."""
    world = retailcrm.FakeRetailCrm()
    world.mount(_wire)
    return world


@pytest.fixture
def receiver(_wire: responses.RequestsMock) -> Receiver:
    """The operator's own webhook."""
    fake = Receiver()
    fake.mount(_wire)
    return fake


def _fill_uis(account: uis.Account) -> uis.Account:
    account.add_employee(IVAN, "Иванов Иван", extension="101", email="ivan@example.com", numbers=["79990000011"])
    account.add_employee(PETR, "Петров Пётр", extension="102", email="petr@example.com", numbers=["79990000012"])
    account.add_employee(ANNA, "Сидорова Анна", extension="103", email="anna@example.com", numbers=["79990000013"])
    account.add_number(NUMBER, name="Основной")
    account.add_number("74950000002", name="Второй")
    return account


def _fill_crm(account: retailcrm.Account) -> retailcrm.Account:
    account.add_user(27, first_name="Иван", last_name="Иванов", email="ivan@example.com")
    account.add_user(28, first_name="Пётр", last_name="Петров", email="petr@example.com")
    account.limits_on = False
    return account


@pytest.fixture
def pbx(uis_world: uis.FakeUis) -> uis.Account:
    """The client's account in UIS, with three employees and two numbers."""
    return _fill_uis(uis_world.add_account("uis-token"))


@pytest.fixture
def crm(crm_world: retailcrm.FakeRetailCrm) -> retailcrm.Account:
    """The client's account in the CRM; only Ivan and Petr have a user there."""
    return _fill_crm(crm_world.add_account(CRM_HOST))


@pytest.fixture
def tenant(db: None, pbx: uis.Account, crm: retailcrm.Account) -> Tenant:
    """An activated client."""
    return tenant_factory.activated("Ромашка", "romashka", pbx=pbx, crm=crm, default_number=NUMBER)


@pytest.fixture
def twin_pbx(uis_world: uis.FakeUis) -> uis.Account:
    """The second client's account in UIS: the same employee ids, extensions, numbers and sessions as in the first."""
    account = _fill_uis(uis_world.add_account("other-token"))
    account.session_ids = itertools.count(FIRST_SESSION)
    return account


@pytest.fixture
def twin_crm(crm_world: retailcrm.FakeRetailCrm) -> retailcrm.Account:
    """The second client's account in the CRM: the same user ids as in the first."""
    return _fill_crm(crm_world.add_account("other.retailcrm.ru", key="otherKey"))


@pytest.fixture
def twin(tenant: Tenant, twin_pbx: uis.Account, twin_crm: retailcrm.Account) -> Tenant:
    """A second activated client: the same employees, numbers and session ids, in other accounts."""
    return tenant_factory.activated("Чужой", "stranger", pbx=twin_pbx, crm=twin_crm, default_number=NUMBER)


@pytest.fixture
def stranger(twin: Tenant, twin_crm: retailcrm.Account) -> Iterator[Tenant]:
    """The second client, who must stay empty whatever happens to the first: checked at the end of the test."""
    yield twin
    assert twin_crm.calls == []
    assert twin_crm.events == []
    for name in ("calls", "commands", "popups"):
        assert not getattr(twin, name).exists()


@pytest.fixture
def hook(tenant: Tenant) -> str:
    """The path of the client's webhook URL."""
    return f"/hooks/uis/{tenant.uis.hook}/"


@pytest.fixture
def run_queue() -> Callable[[], int]:
    """Run all queued tasks of the real queue table, and those that they queue."""
    return real_queue.drain


@pytest.fixture
def notify(client: Client, hook: str, run_queue: Callable[[], int]) -> Callable[..., None]:
    """Send notifications as UIS does, and run the tasks that they queue."""

    def send(*bodies: object, works: bool = True) -> None:
        for body in bodies:
            answer = client.post(hook, body, content_type="application/json")
            assert (answer.status_code, answer.content) == (200, b"")
            if works:
                run_queue()

    return send


@pytest.fixture
def later(run_queue: Callable[[], int]) -> Iterator[Callable[[timedelta], datetime]]:
    """Let time pass, then run the sweep."""
    travellers: list[time_machine.travel] = []

    def wait(passed: timedelta) -> datetime:
        travel = time_machine.travel(timezone.now() + passed)
        travel.start()
        travellers.append(travel)
        real_queue.sweep()
        return timezone.now()

    yield wait
    for travel in reversed(travellers):
        travel.stop()


@pytest.fixture(autouse=True)
def _no_rate_limit_pauses(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Switch off the pauses of the rate limit, except in tests with `real_pacing`."""
    if "real_pacing" not in request.fixturenames:
        monkeypatch.setattr("connector_project.core.rate_limit.SAFETY_FACTOR", 0.0)


@pytest.fixture(autouse=True)
def _connection_outlives_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the database connection at the end of a request: closing it would end the test's transaction.

    Django's client does so for complete responses only, not for closed streams and not for the WSGI application itself.
    """
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda _self: None)


@pytest.fixture(autouse=True)
def _no_debounce(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Switch off debouncing of missed calls, except in tests with `real_debounce`."""
    if "real_debounce" not in request.fixturenames:
        monkeypatch.setattr("telephony.calls.pipeline.DEBOUNCE", timedelta(0))


@pytest.fixture
def real_debounce() -> None:
    """Use the real debounce of missed calls."""


@pytest.fixture
def real_pacing() -> None:
    """Use the real pauses of the rate limit."""
