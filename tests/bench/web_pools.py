"""Web processes as they are shipped, with one client, on one of the databases: for the benchmarks of receiving."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import call_ends, send
from tests.ports import free_port
from tests.processes.servers import Postgres, Redis
from tests.processes.web_server import TIMEOUT_SECONDS, Prepared, WebServer
from tests.simulator.processes import Children, EnvironmentFailure

# variant -> its name
VARIANTS = {"sqlite": "SQLite", "redis": "PostgreSQL + Redis"}
WARM_UP_SECONDS = 1.0
PRODUCT, BARE = "connector_project.wsgi", "tests.bench.bare"
SETTINGS = {BARE: {"DJANGO_SETTINGS_MODULE": "tests.bench.bare_settings"}}


@dataclass
class Pool:
    """One gunicorn with its workers."""

    port: int
    path: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return what its workers have used."""
        workers = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=True).stdout  # noqa: S607
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in workers.split()]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


@contextmanager
def web_server(variant: str, more_env: Mapping[str, str] | None = None) -> Iterator[WebServer]:
    """Make a database with one client, and end all processes afterwards. Raises Missing, EnvironmentFailure."""
    with ExitStack() as stack:
        env = dict(more_env or {})
        if variant == "redis":
            postgres, redis = Postgres(free_port()), Redis(free_port())
            for server in (postgres, redis):
                stack.callback(server.remove)
                server.set_up()
            env |= {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-")))
        for part in ("prepared", "server"):
            (directory / part).mkdir()
        prepared = Prepared(directory / "prepared", env)
        prepared.create()
        built = WebServer(directory / "server", prepared)
        stack.callback(built.children.stop)
        yield built


def start(children: Children, name: str, path: str, *, app: str, niceness: int = 0) -> Pool:
    """Start gunicorn with its configuration file, and wait until it has stored a notification of each worker."""
    port = free_port()
    child = children.start(name, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", env=SETTINGS.get(app))
    os.setpriority(os.PRIO_PROCESS, child.process.pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
    pool, ends_at = Pool(port, path, child.process.pid), time.monotonic() + TIMEOUT_SECONDS
    while True:
        children.check()
        try:
            send(port, path, call_ends(1_000_000_000 + port), seconds=WARM_UP_SECONDS)
        except OSError as exc:
            if time.monotonic() > ends_at:
                raise EnvironmentFailure(f"{name} does not answer.{children.tails()}") from exc
            time.sleep(0.1)
        else:
            return pool
