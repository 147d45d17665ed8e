"""gunicorn as in production, on SQLite with one client; and slow clients."""

import contextlib
import json
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from cryptography.fernet import Fernet

from tests.ports import free_port
from tests.simulator.processes import Children

TIMEOUT_SECONDS = 60.0
HOST = "connector.example.com"
STAFF, PASSWORD = "olga", "a-long-password-of-nobody"
# In one process: each start of Django takes seconds.
_PREPARE = f"""
from django.core.management import call_command
from django.db import connections
from tenants.models import User
call_command("migrate", verbosity=0)
keys = {{"uis_token_file": "-", "crm_key_file": "-"}}
call_command("add_tenant", "Daisy", slug="daisy", crm_url="https://daisy.retailcrm.ru", **keys)
User.objects.create_superuser("{STAFF}", password="{PASSWORD}")
connections.close_all()
"""


@dataclass
class Prepared:
    """A database with a client, who is not activated, and a superuser; servers start with copies of it."""

    directory: Path
    more_env: Mapping[str, str] = field(default_factory=dict)  # with DATABASE_URL it is there, and not copied
    hook: str = field(default="", init=False)
    secrets: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.secrets = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }

    @property
    def database(self) -> Path:
        return self.directory / "db.sqlite3"

    def create(self) -> None:
        """Create it. Raises EnvironmentFailure."""
        children = Children(self.directory, {**_env(self.secrets, self.database), **self.more_env})
        try:
            output = children.run("prepare", "manage.py", "shell", "-c", _PREPARE, stdin="uis-key\ncrmKey\n")
        finally:
            children.stop()
        added = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
        self.hook = urlsplit(added["hooks"]["notifications"]).path


@dataclass
class WebServer:
    """One database, and as many web processes as a test starts."""

    directory: Path
    prepared: Prepared
    more_env: Mapping[str, str] = field(default_factory=dict)
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        self.uploads.mkdir()
        if self.prepared.database.exists():
            shutil.copy(self.prepared.database, self.database)
        own = {"TMPDIR": str(self.uploads), "PYTHONUNBUFFERED": "1", **self.prepared.more_env, **self.more_env}
        self.children = Children(self.directory, _env(self.prepared.secrets, self.database) | own)

    @property
    def uploads(self) -> Path:
        """Where files would be uploaded to."""
        return self.directory / "tmp"

    @property
    def database(self) -> Path:
        return self.directory / "db.sqlite3"

    @property
    def hook(self) -> str:
        """The path of the client's webhook URL."""
        return self.prepared.hook

    def start(self, name: str, *options: str) -> int:
        """Start gunicorn with its configuration file, and return its port."""
        port = free_port()
        self.children.start(name, "-m", "gunicorn", "connector_project.wsgi", "--bind", f"127.0.0.1:{port}", *options)
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while get(port, "/health/live/") != 200:
            self.children.check()
            assert time.monotonic() < ends_at, self.children.tails()
            time.sleep(0.05)
        return port

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def log_lines(self, name: str, text: str, *, count: int) -> list[str]:
        """Return the lines with a text, when they are there: a request is logged after its answer."""
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while len(found := [line for line in self.log(name).splitlines() if text in line]) < count:
            assert time.monotonic() < ends_at, self.log(name)
            time.sleep(0.05)
        return found


def _env(secret: Mapping[str, str], database: Path) -> dict[str, str]:
    return {
        "DEBUG": "false",
        "PUBLIC_URL": f"https://{HOST}",
        "ALLOWED_HOSTS": f"{HOST},127.0.0.1",
        "DATABASE_URL": f"sqlite:///{database}",
        **secret,
    }


def get(port: int, path: str) -> int:
    """Return the status of a request over a connection of its own, 0 if there is no answer."""
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=5, headers={"Host": HOST}).status_code
    except requests.RequestException:
        return 0


def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts over one connection, and return all that comes until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(pause)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


@dataclass
class SlowClient:
    """A client that sends something, and then a byte now and then or nothing; it reads only when it is asked for it."""

    first: bytes
    then: bytes = b""
    client: socket.socket = field(default_factory=socket.socket)

    def connect(self, port: int) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.client.settimeout(TIMEOUT_SECONDS)
        self.client.connect(("127.0.0.1", port))
        self.client.sendall(self.first)

    def trickle(self) -> None:
        with contextlib.suppress(OSError):  # It may have been dropped.
            self.client.sendall(self.then)

    def status(self) -> str:
        """Return the status that it was answered with, "" if it was only closed."""
        try:
            return self.client.recv(100)[9:12].decode()
        except ConnectionResetError:
            return ""


@contextlib.contextmanager
def connected(port: int, clients: list[SlowClient]) -> Iterator[list[SlowClient]]:
    for client in clients:
        client.connect(port)
    try:
        yield clients
    finally:
        for client in clients:
            client.client.close()
