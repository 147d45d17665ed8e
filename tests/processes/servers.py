"""A PostgreSQL and a Redis of the tests' own: they may be killed, restarted and flushed without disturbing anybody."""

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

PATIENCE_SECONDS = 30.0
# Nobody reads these data after the tests: no waiting for the disk, and little memory.
_POSTGRES = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_connections=80")
_REDIS = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning")
_UNPRIVILEGED = ("postgres", "nobody")


class Missing(Exception):
    """A program is not on this machine; the text says which."""


def find(program: str, *folders: Path) -> str:
    """Return where a program is: on the path, else in the last of some folders. Raises Missing."""
    found = shutil.which(program) or next((str(one / program) for one in folders if (one / program).is_file()), None)
    if found is None:
        raise Missing(f"{program} is not installed")
    return found


@dataclass
class Server(abc.ABC):
    """A server process that tests may end in any way, and start again over the same data."""

    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="connector-"))
        if user := _user():
            shutil.chown(self.home, user, pwd.getpwnam(user).pw_gid)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = self._run(*self._command())
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"{type(self).__name__} did not start: {self._log()[-1500:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it and all its processes at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Have it end as an administrator would, without waiting for its clients."""
        self._end(signal.SIGINT)

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @abc.abstractmethod
    def answers(self) -> bool:
        """Say whether it serves."""

    @abc.abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the program and what it is told."""

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        self.process.wait(PATIENCE_SECONDS)
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
    """A PostgreSQL with one superuser, who needs no password."""

    @property
    def url(self) -> str:
        """Where the connector's database is."""
        return f"postgres://postgres@127.0.0.1:{self.port}/connector"

    def set_up(self) -> None:
        """Make its files, start it, and make the database. Raises Missing."""
        data = str(self.home / "data")
        made = self._run(_postgres("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        if made.wait(PATIENCE_SECONDS):
            raise RuntimeError(f"initdb failed: {self._log()[-1500:]}")
        self.start()
        with _connected(self._url("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE connector")

    def restart(self) -> None:
        """Cut every connection, and be back in a moment."""
        self.stop()
        self.start()

    def answers(self) -> bool:
        try:
            psycopg2.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _command(self) -> Sequence[str]:
        about = ("-D", str(self.home / "data"), "-p", str(self.port), "-k", str(self.home), "-h", "127.0.0.1")
        return [_postgres("postgres"), *about, *(part for setting in _POSTGRES for part in ("-c", setting))]

    def _url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """A Redis that keeps nothing on disk."""

    @property
    def url(self) -> str:
        """Where the queue is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def set_up(self) -> None:
        """Start it. Raises Missing."""
        self.start()

    def restart(self) -> None:
        """Lose everything it held."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _command(self) -> Sequence[str]:
        return [find("redis-server"), "--port", str(self.port), "--dir", str(self.home), *_REDIS]


def _postgres(program: str) -> str:
    """Return where a program of PostgreSQL is: Debian keeps them out of the path."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    return find(program, *sorted(versions, key=lambda one: float(one.parent.name), reverse=True))


def _user() -> str | None:
    """Return who runs a server where we are root, for PostgreSQL refuses to be run by root."""
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
