"""A PostgreSQL and a Redis for the tests, which can be killed, restarted and flushed."""

import abc
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import redis

from tests.simulator.processes import end_with_parent

TIMEOUT_SECONDS = 30.0
# The data is temporary: no fsync, and little memory.
_POSTGRES = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_connections=80")
_REDIS = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning")
_UNPRIVILEGED = ("postgres", "nobody")


class Missing(Exception):
    """A program is not installed; the message says which."""


def find(program: str, *folders: Path) -> str:
    """Return the path of a program: from PATH, else from the first of the folders that has it. Raises Missing."""
    found = shutil.which(program) or next((str(one / program) for one in folders if (one / program).is_file()), None)
    if found is None:
        raise Missing(f"{program} is not installed")
    return found


@dataclass
class Server(abc.ABC):
    """A server process that can be killed and restarted with the same data."""

    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="connector-"))
        if user := _user():
            shutil.chown(self.home, user, pwd.getpwnam(user).pw_gid)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = self._run(*self._command())
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"{type(self).__name__} did not start: {self._log()[-1500:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it and all its processes with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it without waiting for its clients to disconnect."""
        self._end(signal.SIGINT)

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @abc.abstractmethod
    def answers(self) -> bool:
        """Return whether it accepts connections."""

    @abc.abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the program and its arguments."""

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        self.process.wait(TIMEOUT_SECONDS)
        self.process = None

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.home,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 -- the tests have one thread
                **_identity(),
            )

    def _log(self) -> str:
        return (self.home / "log").read_text(errors="replace")


class Postgres(Server):
    """A PostgreSQL with one superuser without a password."""

    @property
    def url(self) -> str:
        """The URL of the connector's database."""
        return f"postgres://postgres@127.0.0.1:{self.port}/connector"

    def set_up(self) -> None:
        """Initialise and start it, and create the database. Raises Missing."""
        data = str(self.home / "data")
        initdb = self._run(_postgres("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        if initdb.wait(TIMEOUT_SECONDS):
            raise RuntimeError(f"initdb failed: {self._log()[-1500:]}")
        self.start()
        with _connected(self._url("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE connector")

    def restart(self) -> None:
        """Close every connection and start again."""
        self.stop()
        self.start()

    def answers(self) -> bool:
        try:
            psycopg2.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _command(self) -> Sequence[str]:
        options = ("-D", str(self.home / "data"), "-p", str(self.port), "-k", str(self.home), "-h", "127.0.0.1")
        return [_postgres("postgres"), *options, *(part for setting in _POSTGRES for part in ("-c", setting))]

    def _url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """A Redis without persistence."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def set_up(self) -> None:
        """Start it. Raises Missing."""
        self.start()

    def restart(self) -> None:
        """Lose all data."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Delete all data."""
        with self.connect() as client:
            client.flushall()

    def connect(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=2)

    def answers(self) -> bool:
        try:
            with self.connect() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _command(self) -> Sequence[str]:
        return [find("redis-server"), "--port", str(self.port), "--dir", str(self.home), *_REDIS]


def _postgres(program: str) -> str:
    """Return the path of a PostgreSQL program: Debian does not put them on PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    return find(program, *sorted(versions, key=lambda one: float(one.parent.name), reverse=True))


def _user() -> str | None:
    """Return the user for a server if we are root: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _UNPRIVILEGED if name in known), None)


def _identity() -> dict[str, Any]:
    user = _user()
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


@contextlib.contextmanager
def _connected(url: str) -> Iterator["psycopg2.extensions.connection"]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
