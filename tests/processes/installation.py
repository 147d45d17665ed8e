"""An installation in real processes, with its own database and broker, and the means to break any part of it."""

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
_SHIPPED = {"DJANGO_SETTINGS_MODULE": "connector_project.settings", "DEBUG": "false", "STAFF_SECOND_FACTOR": "optional"}
LEASE_MINUTES = 4.0  # longer than any lease of the product


@dataclass
class Installation(Environment):
    """An installation that tests may break: on SQLite, or on PostgreSQL and Redis ("redis")."""

    variant: str = "sqlite"
    clients: int = 1  # the maximum; only the first one is added at the start
    workers: int = 2
    is_shipped: bool = False  # web and workers have the product's own settings and clock, for benchmarks
    has_disk: bool = False  # SQLite on a separate disk, which can be filled
    postgres: Postgres | None = field(init=False, default=None)
    redis: Redis | None = field(init=False, default=None)
    disk: Disk | None = field(init=False, default=None)
    clock_offset: float = field(init=False, default=0.0)  # seconds
    added: int = field(init=False, default=1)
    _command_server: "subprocess.Popen[str] | None" = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if self.variant == "redis":
            self.postgres, self.redis = Postgres(self.port + 5), Redis(self.port + 6)
        super().__post_init__()

    def set_up(self) -> None:
        """Start everything and wait until it is ready. Raises EnvironmentFailure, Missing."""
        for server in self._servers():
            server.set_up()
        super().set_up()

    def _add_client(self) -> None:
        """Add and activate the first client in the process for commands: each command of `manage.py` takes seconds."""
        (hook,) = self.ask("add", [[0, UIS_TOKEN, self.simulator, CRM_KEY, NUMBER]])
        self.ask("give_links", "OURS")
        self.order("connect", hook=hook)

    def tear_down(self) -> None:
        if self._command_server is not None:
            self._command_server.kill()
            self._command_server.communicate()
        if self.is_shipped:  # Nobody looks at how they end.
            self.children.kill()
        super().tear_down()
        for server in self._servers():
            server.remove()
        if self.disk is not None:
            self.disk.remove()

    def recover(self) -> None:
        """Restart what a test left stopped, repair the vendors, and delete everything that happened so far."""
        for server in self._servers():
            if server.process is None:
                server.start()
        running = [child.name for child in self.children.running]
        for name in [name for name in running if name.startswith("worker") and name not in PROCESSES]:
            self.kill(name)
        for name in PROCESSES:
            if name not in running:
                self.start_web() if name == "web" else self.start_worker(name)
        self.delete_calls()
        for client in range(self.added):
            for side in ("uis", "crm"):
                self.order("restore", side=side, client=client)
            self.order("points", client=client)
        self.wait_for(self.is_live, "the web process")

    def delete_calls(self) -> None:
        """Delete all calls of the vendors and the connector: a call that only one of them has would count as lost."""
        self.order("reset")
        self.ask("delete_all")

    def child(self, name: str) -> Child:
        return next(child for child in self.children.running if child.name == name)

    def kill(self, name: str) -> None:
        """Kill a child and its descendants with SIGKILL."""
        child = self.child(name)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self.children.running.remove(child)

    def kill_and_replace(self, name: str) -> None:
        """Kill a cluster while it works, repair the vendors, start a new cluster, and let the leases expire."""
        self.kill(name)
        self.order("repair")
        self.start_worker(name)
        self.pass_time(minutes=LEASE_MINUTES)

    def kill_workers_inside(self, name: str) -> list[int]:
        """Kill the worker processes of a cluster but not its guard; wait until they are replaced."""
        guard = _children_of(self.child(name).process.pid)[0]
        killed = _children_of(guard)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        def are_replaced() -> bool:
            current = _children_of(guard)
            return len(current) >= len(killed) and not {*current} & {*killed}

        self.wait_for(are_replaced, "new workers")
        return killed

    def order(self, name: str, **params: object) -> dict[str, Any]:
        """Send a control command to the simulator. Raises EnvironmentFailure if it is rejected."""
        answer = self._request("POST", f"{self.simulator}/control/{name}", json=params)
        reply: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise EnvironmentFailure(f"The simulator rejects “{name}”: {reply}")
        return reply

    @contextlib.contextmanager
    def traffic(self, **params: object) -> Iterator[None]:
        """Play traffic while something else happens; notifications that the connector rejects are lost."""
        url = f"{self.simulator}/control/traffic"
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(requests.post, url, json=params, timeout=120)
            yield
            if (answer := playing.result()).status_code != 200:
                raise EnvironmentFailure(f"The simulator rejects the traffic: {answer.text}")

    def vendors(self) -> list[dict[str, Any]]:
        """Return for each client the calls of UIS and of the CRM."""
        reply: list[dict[str, Any]] = self._request("GET", f"{self.simulator}/control/calls_by_client").json()
        return reply[: self.added]

    def events(self) -> list[tuple[str, str]]:
        """Return the call and the time of each event that the CRMs of all clients have received."""
        reply: list[tuple[str, str]] = self._request("GET", f"{self.simulator}/control/events").json()
        return reply

    def ask(self, command: str, *arguments: object) -> Any:
        """Run a command inside the installation. Raises EnvironmentFailure when it fails."""
        if self._command_server is None or self._command_server.poll() is not None:
            self._command_server = self._start_command_server()
        assert self._command_server.stdin is not None
        assert self._command_server.stdout is not None
        self._command_server.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._command_server.stdin.flush()
        line = self._command_server.stdout.readline()
        reply = json.loads(line) if line else {"failed": "the process ended"}
        if "failed" in reply:
            raise EnvironmentFailure(f"“{command}” failed: {reply['failed']}{self.children.tails()}")
        return reply["result"]

    def turn_clock(self, *, minutes: float) -> None:
        """Move the clock of the connector's and the vendors' processes forward."""
        self.clock_offset += minutes * 60
        clock.set_offset(self._clock, seconds=self.clock_offset)

    def pass_time(self, *, minutes: float) -> None:
        """Move the clocks forward, then enqueue all due work."""
        self.turn_clock(minutes=minutes)
        self.ask("sweep")

    def add_clients(self, count: int) -> None:
        """Add clients until there are `count`, all of them activated."""
        tenants = create_tenants(self.clients).vendors.tenants[self.added : count]
        hooks = self.ask("add", [[tenant.client, *self._keys(tenant)] for tenant in tenants])
        for tenant, hook in zip(tenants, hooks, strict=True):
            self.order("connect", client=tenant.client, hook=hook)
        self.added = max(self.added, count)

    def add_copies(self, count: int) -> list[str]:
        """Add copies of the first client, activated and linked, with accounts of their own, until there are `count`.

        Return the webhook URLs of all.
        """
        tenants = create_tenants(self.clients).vendors.tenants[self.added : count]
        copies = self.ask("add_copies", [[tenant.client, *self._keys(tenant)[:3]] for tenant in tenants])
        modules = [[tenant.client, *copied] for tenant, copied in zip(tenants, copies, strict=True)]
        self.order("copy", copies=modules)
        self.added = max(self.added, count)
        return [self.hook(), *(hook for hook, _own in copies)]

    def until(
        self, condition: Callable[[dict[str, Any]], object], description: str, *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Wait for a condition on the vendors' state."""
        self.wait_for(lambda: condition(self.state()), description, timeout=timeout)

    def is_live(self) -> bool:
        """Return whether the web process answers."""
        return self._responds(f"{self.address}/health/live/")

    def is_ready(self) -> bool:
        """Return whether the readiness check passes."""
        return self._responds(f"{self.address}/health/ready/")

    def hook(self) -> str:
        """Return the first client's webhook URL."""
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

    def _product_env(self) -> dict[str, str]:
        return _SHIPPED if self.is_shipped else {}

    def _clear(self) -> None:
        if self.has_disk:
            Disk.release(self.directory / "disk")
        super()._clear()
        clock.set_offset(self._clock, seconds=self.clock_offset)
        if self.has_disk:
            self.disk = Disk(self.directory / "disk")

    def _start_command_server(self) -> "subprocess.Popen[str]":
        return self.children.open("commands", "-m", "tests.processes.command_server")


def _children_of(pid: int) -> list[int]:
    output = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout  # noqa: S607
    return [int(line) for line in output.split()]
