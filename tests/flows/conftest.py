"""Flow tests run on both databases, unless one is enough; what several flows begin with.

A module that needs another `clock` or `talk` defines its own.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from telephony.recordings import stream
from tenants.models import Tenant, User
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes import uis, uis_session
from tests.users import create_user

MORNING = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
SLOTS = 4


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of this directory with `sql`."""
    if not item.get_closest_marker("one_database"):
        item.add_marker(pytest.mark.sql)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Iterator[time_machine.Traveller]:
    """A clock that stands still until a test shifts it: at the module's NOON, or else in the MORNING."""
    with time_machine.travel(getattr(request.module, "NOON", MORNING), tick=False) as traveller:
        yield traveller


@pytest.fixture
def minutes(clock: time_machine.Traveller) -> Callable[[int], None]:
    """Let minutes pass, with a sweep in each."""

    def wait(count: int) -> None:
        for _minute in range(count):
            clock.shift(timedelta(minutes=1))
            task_queue.sweep()

    return wait


@pytest.fixture
def operator(client: Client, db: None) -> User:
    """A signed-in operator."""
    user = create_user("olga", "Operator")
    client.force_login(user)
    return user


@pytest.fixture
def ring(pbx: uis.Account, notify: Callable[..., None]) -> Callable[..., None]:
    """Let Ivan's telephone ring; each number is another caller."""

    def add(number: int = 0) -> None:
        call = pbx.call(contact=f"79997{number:06d}", number=NUMBER, rings=[IVAN])
        notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))

    return add


@pytest.fixture
def add_missed(pbx: uis.Account, notify: Callable[..., None]) -> Callable[..., None]:
    """Add a missed call; each number is another caller."""

    def add(number: int = 0) -> None:
        notify(pbx.call(contact=f"79996{number:06d}", number=NUMBER, rings=[IVAN]).notification("lost_call"))

    return add


@pytest.fixture
def add_answered(pbx: uis.Account, notify: Callable[..., None]) -> Callable[..., uis_session.Session]:
    """Add a call that Ivan answered, and return it; each number is another caller."""

    def add(number: int = 0) -> uis_session.Session:
        call = pbx.call(contact=f"79995{number:06d}", number=NUMBER, talks=[(IVAN, 20)])
        notify(call.notification("call_end"))
        return call

    return add


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.BoundedSemaphore]:
    """The slots for recordings that are played at once; at the end of the test all of them are free again."""
    fresh = threading.BoundedSemaphore(SLOTS)
    monkeypatch.setattr(stream, "_slots", fresh)
    yield fresh
    assert fresh._value == SLOTS  # type: ignore[attr-defined]


@pytest.fixture
def talk(pbx: uis.Account, tenant: Tenant) -> uis_session.Session:
    """A talk of 20 seconds with Ivan that has just ended; its recording never comes until a test says so."""
    began = timezone.now() - timedelta(seconds=40)
    session = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=began)
    session.records_at = timezone.now() + timedelta(days=300)
    return session
