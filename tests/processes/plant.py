"""Real web, worker and simulator processes over a real database and broker, and the means to kill any of them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import redis

from tests.simulator.children import Child
from tests.simulator.stage import SLUG, Stage

POSTGRES = "postgres://postgres@127.0.0.1:5432/connector_processes"
POSTGRES_ADMIN = "postgres://postgres@127.0.0.1:5432/postgres"
REDIS = "redis://127.0.0.1:6379/14"

# What a lease, a pause and the sweep would do by themselves within minutes.
_TIME_PASSES = """
from django.utils import timezone
from crm import tasks as crm_tasks
from crm.models import Command
from telephony import tasks
from telephony.models import Call, Notification
now = timezone.now()
for rows in (Call.objects, Notification.objects, Command.objects):
    rows.filter(next_attempt_at__gt=now).update(next_attempt_at=now)
tasks.sweep()
crm_tasks.sweep()
"""
_LEDGER = """
import json
from crm.models import Command
from telephony.models import Call, Notification
print("LEDGER" + json.dumps({
    "calls": [[call.session_id, call.state] for call in Call.objects.order_by("session_id")],
    "commands": [[command.state, command.reason] for command in Command.objects.order_by("pk")],
    "notifications": Notification.objects.count(),
}))
"""


class Plant(Stage):
    """A whole installation that tests may break."""

    broker = "database"
    more: dict[str, str] = {}

    @classmethod
    def on(cls, variant: str, *, port: int) -> "Plant":
        """Return an installation on SQLite alone, or on PostgreSQL and Redis, both emptied."""
        plant = object.__new__(cls)
        plant.more = {}
        if variant == "redis":
            _new_database()
            redis.Redis.from_url(REDIS).flushdb()
            plant.more = {"DATABASE_URL": POSTGRES, "REDIS_URL": REDIS}
        plant.__init__(port=port)  # type: ignore[misc]  # the dataclass's own, once its environment is known
        return plant

    def _env(self) -> dict[str, str]:
        return super()._env() | self.more

    def child(self, name: str) -> Child:
        """Return a running child process by its name."""
        return next(child for child in self.children.running if child.name == name)

    def kill(self, name: str) -> None:
        """Kill a child and everything it started, at once."""
        child = self.child(name)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self.children.running.remove(child)

    def start_worker(self, name: str) -> None:
        """Start a cluster again."""
        queue = {"Q_CLUSTER_NAME": "fast"} if name == "worker-fast" else None
        self.children.start(name, "manage.py", "qcluster", env=queue)

    def kill_workers_inside(self, name: str) -> list[int]:
        """Kill the worker processes of a cluster, and leave its guard alive."""
        guard = _children_of(self.child(name).process.pid)[0]
        killed = _children_of(guard)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        return killed

    def order(self, name: str, **asked: object) -> dict[str, Any]:
        """Give the simulator an order."""
        said: dict[str, Any] = self._ask("POST", f"{self.simulator}/control/{name}", json=asked).json()
        return said

    def let_time_pass(self) -> None:
        """Make everything that waits due, and do what the minute's sweep does."""
        self.children.run("time", "manage.py", "shell", "-c", _TIME_PASSES)

    def ledger(self) -> dict[str, Any]:
        """Return what the connector's own rows say."""
        import json

        said = self.children.run("ledger", "manage.py", "shell", "-c", _LEDGER)
        rows: dict[str, Any] = json.loads(said.split("LEDGER", 1)[1].splitlines()[0])
        return rows

    def until(self, has_come: Callable[[dict[str, Any]], object], what: str) -> None:
        """Wait until the vendors have seen something."""
        self.wait_for(lambda: has_come(self.state()), what)

    def is_live(self) -> bool:
        """Say whether the web process answers."""
        return self._answers(f"{self.address}/health/live/")

    def hook(self) -> str:
        """Return where UIS sends notifications."""
        said = self.children.run("hook", "manage.py", "shell", "-c", _HOOK)
        return said.split("HOOK", 1)[1].splitlines()[0]


_HOOK = f"""
from tenants.models import Tenant
from crm import module
print("HOOK" + module.addresses(Tenant.objects.get(slug="{SLUG}"))["notifications"])
"""


def _children_of(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout  # noqa: S607
    return [int(line) for line in said.split()]


def _new_database() -> None:
    connection = psycopg2.connect(POSTGRES_ADMIN)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS connector_processes WITH (FORCE)")
        cursor.execute("CREATE DATABASE connector_processes")
    connection.close()


def wait(seconds: float) -> None:
    """Let a request get under way."""
    time.sleep(seconds)
