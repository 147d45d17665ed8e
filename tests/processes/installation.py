"""Real web, worker and simulator processes over a database and a broker of their own, and the means to break any."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.processes.full_disk import Disk
from tests.processes.servers import Postgres, Redis
from tests.simulator import clock
from tests.simulator.environment import TIMEOUT_SECONDS, Environment
from tests.simulator.fixtures import CRM_KEY, NUMBER, UIS_TOKEN, SimulatedTenant, create_tenants
from tests.simulator.processes import Child, EnvironmentFailure

PROCESSES = ("web", "worker", "worker-fast")
VARIANTS = ("sqlite", "redis")
LEASE_MINUTES = 4.0  # longer than any lease of the product


@dataclass
class Plant(Environment):
    """A whole installation that tests may break: on SQLite alone, or on PostgreSQL and Redis ("redis")."""

    variant: str = "sqlite"
    clients: int = 1  # the most there can be; only the first is added from the start
    workers: int = 2
    has_disk: bool = False  # SQLite on a disk of its own, which can be filled
    postgres: Postgres | None = field(init=False, default=None)
    redis: Redis | None = field(init=False, default=None)
    disk: Disk | None = field(init=False, default=None)
    turned: float = field(init=False, default=0.0)  # seconds
    added: int = field(init=False, default=1)
    _hand: "subprocess.Popen[str] | None" = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if self.variant == "redis":
            self.postgres, self.redis = Postgres(self.port + 5), Redis(self.port + 6)
        super().__post_init__()

    def set_up(self) -> None:
        """Start everything and wait until it can work. Raises Stopped, Missing."""
        for server in self._servers():
            server.set_up()
        super().set_up()

    def tear_down(self) -> None:
        """Stop everything."""
        if self._hand is not None:
            self._hand.kill()
            self._hand.communicate()
        super().tear_down()
        for server in self._servers():
            server.remove()
        if self.disk is not None:
            self.disk.remove()

    def recover(self) -> None:
        """Bring back whatever a test left dead, and mend the vendors; what happened so far is forgotten."""
        for server in self._servers():
            if server.process is None:
                server.start()
        running = [child.name for child in self.children.running]
        for name in [name for name in running if name.startswith("worker") and name not in PROCESSES]:
            self.kill(name)
        for name in PROCESSES:
            if name not in running:
                self.start_web() if name == "web" else self.start_worker(name)
        self.forget()
        for client in range(self.added):
            for side in ("uis", "crm"):
                self.order("restore", side=side, client=client)
            self.order("points", client=client)
        self.wait_for(self.is_live, "the web process")

    def forget(self) -> None:
        """Forget all calls, at the vendors' and in the connector: those they show no more must not look lost."""
        self.order("reset")
        self.ask("start_anew")

    def child(self, name: str) -> Child:
        """Return a running child process by its name."""
        return next(child for child in self.children.running if child.name == name)

    def kill(self, name: str) -> None:
        """Kill a child and everything it started, at once."""
        child = self.child(name)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self.children.running.remove(child)

    def kill_and_replace(self, name: str) -> None:
        """Kill a cluster in the middle of its work, mend the vendors, and let another take over."""
        self.kill(name)
        self.order("repair")
        self.start_worker(name)
        self.pass_time(minutes=LEASE_MINUTES)

    def kill_workers_inside(self, name: str) -> list[int]:
        """Kill the worker processes of a cluster, leave its guard alive, and wait until others are in their place."""
        guard = _children_of(self.child(name).process.pid)[0]
        killed = _children_of(guard)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        def are_replaced() -> bool:
            standing = _children_of(guard)
            return len(standing) >= len(killed) and not {*standing} & {*killed}

        self.wait_for(are_replaced, "a new pool")
        return killed

    def order(self, name: str, **asked: object) -> dict[str, Any]:
        """Give the simulator an order. Raises Stopped when it does not understand."""
        answer = self._request("POST", f"{self.simulator}/control/{name}", json=asked)
        said: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise EnvironmentFailure(f"The simulator refuses “{name}”: {said}")
        return said

    @contextlib.contextmanager
    def traffic(self, **asked: object) -> Iterator[None]:
        """Have calls come in while something else happens; what the connector did not take is nobody's news to it."""
        url = f"{self.simulator}/control/traffic"
        with ThreadPoolExecutor(1) as line:
            playing = line.submit(requests.post, url, json=asked, timeout=120)
            yield
            if (answer := playing.result()).status_code != 200:
                raise EnvironmentFailure(f"The simulator refuses the traffic: {answer.text}")

    def vendors(self) -> list[dict[str, Any]]:
        """Return for each client what UIS lists and what the CRM has."""
        said: list[dict[str, Any]] = self._request("GET", f"{self.simulator}/control/ledger").json()
        return said[: self.added]

    def ask(self, deed: str, *arguments: object) -> Any:
        """Have the hand inside do something. Raises Stopped when it fails."""
        if self._hand is None or self._hand.poll() is not None:
            self._hand = self._new_hand()
        assert self._hand.stdin is not None
        assert self._hand.stdout is not None
        self._hand.stdin.write(json.dumps([deed, *arguments]) + "\n")
        self._hand.stdin.flush()
        line = self._hand.stdout.readline()
        said = json.loads(line) if line else {"failed": "it died"}
        if "failed" in said:
            raise EnvironmentFailure(f"“{deed}” failed: {said['failed']}{self.children.tails()}")
        return said["said"]

    def turn_clock(self, *, minutes: float) -> None:
        """Move the clock of the connector's and the vendors' processes forward."""
        self.turned += minutes * 60
        clock.set_offset(self._clock, seconds=self.turned)

    def pass_time(self, *, minutes: float) -> None:
        """Let time pass for everybody, and do what the minute's sweep does at its end."""
        self.turn_clock(minutes=minutes)
        self.ask("sweep")

    def add_clients(self, count: int) -> None:
        """Have so many clients, all of them switched on."""
        tenants = create_tenants(self.clients).vendors.tenants[self.added : count]
        hooks = self.ask("add", [[tenant.client, *self._keys(tenant)] for tenant in tenants])
        for tenant, hook in zip(tenants, hooks, strict=True):
            self.order("connect", client=tenant.client, hook=hook)
        self.added = max(self.added, count)

    def until(
        self, condition: Callable[[dict[str, Any]], object], description: str, *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Wait until the vendors have seen something."""
        self.wait_for(lambda: condition(self.state()), description, timeout=timeout)

    def is_live(self) -> bool:
        """Say whether the web process answers."""
        return self._responds(f"{self.address}/health/live/")

    def is_ready(self) -> bool:
        """Say whether the installation says of itself that it can work."""
        return self._responds(f"{self.address}/health/ready/")

    def hook(self) -> str:
        """Return where UIS sends the first client's notifications."""
        return str(self.ask("hook", 0))

    def _servers(self) -> Sequence[Postgres | Redis]:
        return [server for server in (self.postgres, self.redis) if server is not None]

    def _keys(self, tenant: SimulatedTenant) -> tuple[str, ...]:
        return (f"{UIS_TOKEN}-{tenant.client}", f"http://{tenant.crm_host}:{self.port + 1}", CRM_KEY, NUMBER)

    @property
    def _clock(self) -> Path:
        return self.directory / "clock"

    def _simulator_options(self) -> tuple[str, ...]:
        return ("--clients", str(self.clients), "--clock", str(self._clock))

    def _env(self) -> dict[str, str]:
        hosts = [tenant.crm_host for tenant in create_tenants(self.clients).vendors.tenants[1:]]
        env = super()._env()
        env |= {
            "DJANGO_SETTINGS_MODULE": "tests.processes.settings",
            "CLOCK_FILE": str(self._clock),
            "QUEUE_WORKERS": str(self.workers),
            "TRUSTED_REMOTE_HOSTS": ",".join(
                [env["TRUSTED_REMOTE_HOSTS"], *(f"{host}:{self.port + 1}" for host in hosts)]
            ),
        }
        if self.postgres is not None and self.redis is not None:
            env |= {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url}
        elif self.has_disk:
            env |= {"DATABASE_URL": f"sqlite:///{self.directory / 'disk' / 'db.sqlite3'}"}
        return env

    def _clear(self) -> None:
        if self.has_disk:
            Disk.release(self.directory / "disk")
        super()._clear()
        clock.set_offset(self._clock, seconds=self.turned)
        if self.has_disk:
            self.disk = Disk(self.directory / "disk")

    def _new_hand(self) -> "subprocess.Popen[str]":
        return self.children.open("hand", "-m", "tests.processes.command_server")


def _children_of(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout  # noqa: S607
    return [int(line) for line in said.split()]
