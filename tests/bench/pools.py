"""Webhooks beside staff at work: two pools of web processes as in docs/running.md, one for programs, one for people.

The notifications come at a steady rate, far below what the pool can store: what is measured is how long each one takes,
alone, and while somebody signs in, exports calls or opens statistics again and again. Both pools share the machine's
cores and PostgreSQL, so the figures mean something only on a machine that does nothing else.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from tests.bench.figures import Figure
from tests.bench.load import Load, call_ends, send
from tests.bench.web_pools import PRODUCT, VARIANTS, Pool, start, web_server
from tests.processes.web_server import WebServer

CALLS = 10_000
ROUNDS, SECONDS = 4, 3.0
CONNECTIONS, PAUSE_SECONDS = 4, 0.03
# Of the systemd unit of the pool for people, in docs/running.md.
NICENESS = 10
TARGET = 1.2
USER, PASSWORD = "bench", "bench-password"
LOGIN = "/admin/login/"
_CALLS = f"""
from datetime import timedelta
from django.utils import timezone
from telephony.models import Call
from tenants.models import Tenant
tenant, now = Tenant.objects.get(), timezone.now()
Call.objects.bulk_create([
    Call(tenant=tenant, session_id=number, state=Call.State.UPLOADED, direction="in", contact=f"7999{{number:07d}}",
         number="74950000001", started_at=now - timedelta(minutes=4 * number), is_lost=bool(number % 4),
         ended_at=now - timedelta(minutes=4 * number - 1), result="NO_ANSWER" if number % 4 else "ANSWERED",
         talk_seconds=0 if number % 4 else 60, retry_window_started_at=now, uploaded_at=now)
    for number in range({CALLS})
], batch_size=1000)
"""


def measure() -> list[Figure]:
    """Measure on PostgreSQL and Redis, where an installation has two pools."""
    with web_server("redis", {"PUBLIC_URL": "http://127.0.0.1", "STAFF_SECOND_FACTOR": "optional"}) as server:
        _fill(server)
        programs = start(server.children, "programs", server.hook, app=PRODUCT)
        pages = start(server.children, "pages", server.hook, app=PRODUCT, niceness=NICENESS)
        return _measure(programs, pages)


def _fill(server: WebServer) -> None:
    account = ("--noinput", "--username", USER, "--email", "bench@example.com")
    server.children.run("staff", "manage.py", "createsuperuser", *account, env={"DJANGO_SUPERUSER_PASSWORD": PASSWORD})
    server.children.run("calls", "manage.py", "shell", "-c", _CALLS)


def _measure(programs: Pool, pages: Pool) -> list[Figure]:
    """Take turns: alone, then beside each kind of work. The percentiles are those of all rounds together."""
    durations: dict[str, list[float]] = {"": [], **{name: [] for name in WORK}}
    for number in range(ROUNDS * len(durations)):
        name = list(durations)[number % len(durations)]
        with _repeated(WORK.get(name), pages.port):
            load = send(
                programs.port,
                programs.path,
                call_ends(8_000_000_000 + number * 10_000_000),
                seconds=SECONDS,
                connections=CONNECTIONS,
                pause=PAUSE_SECONDS,
            )
        durations[name] += load.durations
    loads = {name: Load(ROUNDS * SECONDS, found) for name, found in durations.items()}
    return [
        Figure(
            name=f"answer to a webhook beside {name}, p{percent}",
            variant=VARIANTS["redis"],
            value=loads[name].percentile_ms(percent),
            unit="ms",
            limit=loads[""].percentile_ms(percent),
            limit_name="alone",
            target=TARGET,
        )
        for name in WORK
        for percent in (50, 99)
    ]


@contextmanager
def _repeated(work: Callable[[requests.Session, str], None] | None, port: int) -> Iterator[None]:
    """Do the work of a person in another process, again and again. Raises RuntimeError if it fails."""
    if work is None:
        yield
        return
    process = multiprocessing.get_context("fork").Process(target=_repeat, args=(work, port), daemon=True)
    process.start()
    time.sleep(1)
    yield
    if not process.is_alive():
        raise RuntimeError("A page failed: see above.")
    process.terminate()
    process.join()


def _repeat(work: Callable[[requests.Session, str], None], port: int) -> None:
    address = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.trust_env = False
        _sign_in(session, address)
        while True:
            work(session, address)


def _sign_in(session: requests.Session, address: str) -> None:
    session.cookies.clear()
    session.get(f"{address}{LOGIN}")
    form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    answer = session.post(f"{address}{LOGIN}", form, allow_redirects=False)
    if answer.status_code != 302:
        raise RuntimeError(f"The sign-in answered {answer.status_code}.")


def _export(session: requests.Session, address: str) -> None:
    token = {"X-CSRFToken": session.cookies["csrftoken"]}
    answer = session.post(f"{address}/admin/telephony/call/export/csv/", headers=token)
    if answer.status_code != 200 or answer.text.count("\n") < CALLS:
        raise RuntimeError(f"The export answered {answer.status_code}.")


def _open_statistics(session: requests.Session, address: str) -> None:
    answer = session.get(f"{address}/admin/tenants/tenant/statistics/", params={"days": "30"})
    if answer.status_code != 200:
        raise RuntimeError(f"The statistics answered {answer.status_code}.")


WORK = {"sign-ins": _sign_in, "exports": _export, "pages of statistics": _open_statistics}
