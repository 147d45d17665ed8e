"""Sets up the demonstration: a database, the connector's three processes, the simulator, a demo client."""

import base64
import json
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.simulator.fixtures import CRM_KEY, NUMBER, UIS_TOKEN
from tests.simulator.processes import ROOT, Children, EnvironmentFailure, check_port

SLUG = "demo"
ADMIN = "admin"
TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.05
MANAGE = "manage.py"
# An operator would set this in the admin: the demonstration shows links that can be revoked.
_OUR_LINKS = """
from tests.rules import publish_rules_for_all
publish_rules_for_all(recording_link="OURS")
"""


@dataclass
class Environment:
    """One demonstration: its processes, addresses and login."""

    port: int
    is_dev: bool = False
    page: str = field(default="", repr=False)  # the client's onboarding page
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    children: Children = field(init=False)
    http: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.children = Children(self.directory, self._env())
        self.http.trust_env = False

    @property
    def directory(self) -> Path:
        """The directory of its database and logs."""
        return ROOT / ".demo" / str(self.port)

    @property
    def address(self) -> str:
        """The connector's base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> str:
        """The base URL of both vendors."""
        return f"http://127.0.0.1:{self.port + 1}"

    def set_up(self) -> None:
        """Start everything and wait until it is ready. Raises EnvironmentFailure."""
        check_port(self.port)
        check_port(self.port + 1)
        self._clear()
        self.children.start("simulator", MANAGE, "simulator", "--port", str(self.port + 1), *self._simulator_options())
        self.children.run("migrate", MANAGE, "migrate", "--verbosity", "0")
        self.start_connector()
        user = ("--username", ADMIN, "--email", "admin@example.com")
        login = {"DJANGO_SUPERUSER_PASSWORD": self.password}
        admin = self.children.start("admin", MANAGE, "createsuperuser", "--noinput", *user, env=login, is_command=True)
        self.wait_for(lambda: self._responds(f"{self.simulator}/control/state"), "the simulator to answer")
        self._add_client()
        self.children.finish(admin)
        self.wait_for(lambda: self._responds(f"{self.address}/health/ready/"), "web and workers to be ready")

    def tear_down(self) -> None:
        self.http.close()
        self.children.stop()

    def manage(self, name: str, *arguments: str, stdin: str = "") -> str:
        """Run one of the connector's management commands."""
        return self.children.run(name, MANAGE, name, *arguments, stdin=stdin)

    def state(self, client: int = 0) -> dict[str, Any]:
        """Return what the simulator has received from a client."""
        answer = self._request("GET", f"{self.simulator}/control/state?client={client}")
        state: dict[str, Any] = answer.json()
        return state

    def play(self, scene: str, **params: object) -> dict[str, Any]:
        """Play a scene. Raises EnvironmentFailure unless the connector accepted every request of it."""
        answer = self._request("POST", f"{self.simulator}/control/play", json={"scene": scene, **params})
        result: dict[str, Any] = answer.json()
        refused = [sent_request for sent_request in result.get("sent", []) if sent_request["status"] != 200]
        if answer.status_code != 200 or refused:
            raise EnvironmentFailure(f"“{scene}” could not be played: {result.get('error') or refused}")
        return result

    def is_playable(self, url: str) -> bool:
        """Request a recording as a player does; return whether audio comes."""
        answer = self._request("GET", url, headers={"Range": "bytes=0-"})
        return (answer.status_code, answer.headers["Content-Type"]) == (206, "audio/mpeg") and bool(answer.content)

    def wait_for(
        self,
        condition: Callable[[], object],
        description: str,
        *,
        interval: float = POLL_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Wait until a condition is true. Raises EnvironmentFailure on timeout, or when a process ends."""
        ends_at = time.monotonic() + timeout
        while not condition():
            self.children.check()
            if time.monotonic() > ends_at:
                message = f"Timed out after {timeout:.0f} seconds waiting for {description}."
                raise EnvironmentFailure(f"{message}{self.children.tails()}")
            time.sleep(interval)

    def _simulator_options(self) -> tuple[str, ...]:
        """Return further arguments of the simulator."""
        return ()

    def _env(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "connector_project.settings",
            "DEBUG": "true",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "DATABASE_URL": f"sqlite:///.demo/{self.port}/db.sqlite3",
            "PUBLIC_URL": self.address,
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "CSRF_TRUSTED_ORIGINS": f"{self.address},http://localhost:{self.port}",
            "UIS_DATA_API_URL": f"{self.simulator}/uis/data/v2.0",
            "UIS_CALL_API_URL": f"{self.simulator}/uis/call/v4.0",
            "UIS_MEDIA_URL": f"{self.simulator}/uis/media",
            "TRUSTED_REMOTE_HOSTS": f"{self.simulator},{self.address}".replace("http://", ""),
            "QUEUE_WORKERS": "2",
            "PYTHONUNBUFFERED": "1",
        }

    def _product_env(self) -> dict[str, str]:
        """Return what is set for the web process and the workers alone."""
        return {}

    def _clear(self) -> None:
        """Start from an empty directory: the demonstration shows a fresh installation."""
        shutil.rmtree(self.children.directory, ignore_errors=True)
        self.children.directory.mkdir(parents=True, mode=0o700)

    def start_connector(self) -> None:
        """Start the web process and both worker clusters."""
        self.start_web()
        self.start_worker("worker")
        self.start_worker("worker-fast")

    def start_worker(self, name: str) -> None:
        """Start a worker cluster; its name determines the queue."""
        queue = {"Q_CLUSTER_NAME": "fast"} if name.startswith("worker-fast") else {}
        self.children.start(name, MANAGE, "qcluster", env=self._product_env() | queue)

    def start_web(self) -> None:
        bind = f"127.0.0.1:{self.port}"
        if self.is_dev:
            self.children.start("web", MANAGE, "runserver", bind)
        else:
            web = ("-m", "gunicorn", "connector_project.wsgi", "--bind", bind, "--workers", "1")
            self.children.start("web", *web, "--graceful-timeout", "3", env=self._product_env())

    def _add_client(self) -> None:
        """Add and activate the demo client, and set its webhook URL in the simulator."""
        connections = ("--uis-token-file", "-", "--crm-url", self.simulator, "--crm-key-file", "-")
        options = ("--slug", SLUG, *connections, "--virtual-number", NUMBER, "--activate")
        output = self.manage("add_tenant", "Demo", *options, stdin=f"{UIS_TOKEN}\n{CRM_KEY}\n")
        added = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
        self.page = added["activation_url"]
        self.children.run("rules", MANAGE, "shell", "-c", _OUR_LINKS)
        self._request("POST", f"{self.simulator}/control/connect", json={"hook": added["hooks"]["notifications"]})

    def _responds(self, url: str) -> bool:
        try:
            return self.http.get(url, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return self.http.request(method, url, timeout=60, **options)
        except requests.RequestException as exc:
            self.children.check()
            raise EnvironmentFailure(
                f"The simulator does not answer ({type(exc).__name__}).{self.children.tails()}"
            ) from exc
