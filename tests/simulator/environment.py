"""Sets up the demonstration: a database of its own, the connector's three processes, the simulator, a demo client."""

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
from tests.simulator.processes import ROOT, Children, Stopped, check_port

SLUG = "demo"
ADMIN = "admin"
PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.05
MANAGE = "manage.py"
# What an operator chooses on the client's page: a demonstration is to show the links that can be withdrawn.
_OUR_LINKS = """
from tenants.models import TransferRules
TransferRules.objects.update(recording_link=TransferRules.RecordingLink.OURS)
"""


@dataclass
class Stage:
    """One demonstration: what runs, where it is, and who may log in."""

    port: int
    is_dev: bool = False
    page: str = field(default="", repr=False)  # the client's own
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    children: Children = field(init=False)
    http: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.children = Children(self.directory, self._env())
        self.http.trust_env = False

    @property
    def directory(self) -> Path:
        """Where its database and its logs are."""
        return ROOT / ".demo" / str(self.port)

    @property
    def address(self) -> str:
        """Where the connector answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> str:
        """Where both vendors answer."""
        return f"http://127.0.0.1:{self.port + 1}"

    def set_up(self) -> None:
        """Start everything and wait until it can work. Raises Stopped."""
        check_port(self.port)
        check_port(self.port + 1)
        self._clear()
        self.children.start("simulator", MANAGE, "simulator", "--port", str(self.port + 1), *self._simulated())
        self.children.run("migrate", MANAGE, "migrate", "--verbosity", "0")
        self.start_connector()
        who = ("--username", ADMIN, "--email", "admin@example.com")
        login = {"DJANGO_SUPERUSER_PASSWORD": self.password}
        admin = self.children.start("admin", MANAGE, "createsuperuser", "--noinput", *who, env=login, is_command=True)
        self.wait_for(lambda: self._answers(f"{self.simulator}/control/state"), "the simulator to answer")
        self._add_client()
        self.children.finish(admin)
        self.wait_for(lambda: self._answers(f"{self.address}/health/ready/"), "web and workers to be ready")

    def tear_down(self) -> None:
        """Stop everything."""
        self.http.close()
        self.children.stop()

    def manage(self, name: str, *arguments: str) -> str:
        """Run one of the connector's commands, as an operator would."""
        return self.children.run(name, MANAGE, name, *arguments)

    def state(self, client: int = 0) -> dict[str, Any]:
        """Return what the simulator has seen by now of a client."""
        answer = self._ask("GET", f"{self.simulator}/control/state?client={client}")
        said: dict[str, Any] = answer.json()
        return said

    def play(self, scene: str, **asked: object) -> dict[str, Any]:
        """Have the simulator play a scene. Raises Stopped unless the connector took all of it."""
        answer = self._ask("POST", f"{self.simulator}/control/play", json={"scene": scene, **asked})
        said: dict[str, Any] = answer.json()
        refused = [one for one in said.get("sent", []) if one["status"] != 200]
        if answer.status_code != 200 or refused:
            raise Stopped(f"“{scene}” could not be played: {said.get('error') or refused}")
        return said

    def is_heard(self, url: str) -> bool:
        """Ask for a recording the way a player does, and say whether sound comes."""
        answer = self._ask("GET", url, headers={"Range": "bytes=0-"})
        return (answer.status_code, answer.headers["Content-Type"]) == (206, "audio/mpeg") and bool(answer.content)

    def wait_for(
        self,
        has_come: Callable[[], object],
        what: str,
        *,
        every: float = LOOK_EVERY_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Wait until something is so; raises Stopped when it does not come, or a process ends meanwhile."""
        ends_at = time.monotonic() + patience
        while not has_come():
            self.children.check()
            if time.monotonic() > ends_at:
                says = f"Waited {patience:.0f} seconds in vain for {what}."
                raise Stopped(f"{says}{self.children.tails()}")
            time.sleep(every)

    def _simulated(self) -> tuple[str, ...]:
        """Return what else the simulator is told."""
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

    def _clear(self) -> None:
        """Begin with nothing: a demonstration shows what a fresh installation does."""
        shutil.rmtree(self.children.directory, ignore_errors=True)
        self.children.directory.mkdir(parents=True, mode=0o700)

    def start_connector(self) -> None:
        """Start web and both clusters of workers."""
        self.start_web()
        self.start_worker("worker")
        self.start_worker("worker-fast")

    def start_worker(self, name: str) -> None:
        """Start a cluster of workers; its name says of which queue."""
        queue = {"Q_CLUSTER_NAME": "fast"} if name.startswith("worker-fast") else None
        self.children.start(name, MANAGE, "qcluster", env=queue)

    def start_web(self) -> None:
        """Start the web process."""
        bind = f"127.0.0.1:{self.port}"
        if self.is_dev:
            self.children.start("web", MANAGE, "runserver", bind)
        else:
            web = ("-m", "gunicorn", "connector_project.wsgi", "--bind", bind, "--worker-class", "gthread")
            self.children.start("web", *web, "--threads", "8", "--graceful-timeout", "3", "--no-control-socket")

    def _add_client(self) -> None:
        """Add and activate the demo client, and tell the simulator where it sends notifications."""
        keys = ("--uis-token", UIS_TOKEN, "--crm-url", self.simulator, "--crm-key", CRM_KEY)
        said = self.manage("add_tenant", "Demo", "--slug", SLUG, *keys, "--virtual-number", NUMBER, "--activate")
        added = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
        self.page = added["activation_url"]
        self.children.run("rules", MANAGE, "shell", "-c", _OUR_LINKS)
        self._ask("POST", f"{self.simulator}/control/connect", json={"hook": added["hooks"]["notifications"]})

    def _answers(self, url: str) -> bool:
        try:
            return self.http.get(url, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _ask(self, method: str, url: str, **about: Any) -> requests.Response:
        try:
            return self.http.request(method, url, timeout=60, **about)
        except requests.RequestException as exc:
            self.children.check()
            raise Stopped(f"The simulator does not answer ({type(exc).__name__}).{self.children.tails()}") from exc
