"""Two people on one page: one saves what they read before the other's change. Neither change may undo the other."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.models import Tenant, UisConnection
from tests import html_text
from tests.chaos.clock import Clock
from tests.chaos.processes import Process, Processes
from tests.chaos.tenants import ChaosTenant

PAGE = "page of a client"


@dataclass
class Edit:
    """What one person wrote on the page, and what the other changed meanwhile."""

    tenant: ChaosTenant
    name: str
    hook: str = ""
    status: int = 0

    def differences(self) -> list[str]:
        """Return what of both changes is gone."""
        row, uis = Tenant.objects.get(pk=self.tenant.row.pk), UisConnection.objects.get(tenant=self.tenant.row.pk)
        found = [f"a page was answered with {self.status}"] * (self.status not in {200, 302, 0})
        if self.status == 302 and row.name != self.name:
            found.append(f"what a person saved is gone: {row.name!r}, not {self.name!r}")
        if self.hook and uis.hook != self.hook:
            found.append("saving a page has undone another person's change of the webhook URL")
        return found


class People:
    """Operators who work on the clients' pages."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random) -> None:
        self.clock, self.processes, self.rng = clock, processes, rng
        self.edits: list[Edit] = []
        self.met: Counter[str] = Counter()
        self._meanwhile: Callable[[], None] | None = None
        processes.before_write = self._before_write

    def plan(self, tenants: list[ChaosTenant], *, begin: datetime, lasts: timedelta) -> None:
        """Let the page of one client be saved by two people, in one of two orders."""
        edit = Edit(self.rng.choice(tenants), name=f"Магазин {self.rng.randrange(1000)}")
        self.clock.at(begin + lasts * self.rng.random() * 0.9, lambda: self._open(edit))

    def _open(self, edit: Edit) -> None:
        """Open the page; save it half a minute later, after or while the other person acts."""
        if self.processes.is_down:
            return
        user = get_user_model().objects.get_or_create(username="olga", is_staff=True, is_superuser=True)[0]
        client = Client()
        client.force_login(user)
        url = reverse("admin:tenants_tenant_change", args=[edit.tenant.row.pk])
        form = html_text.fields(client.get(url).content.decode())
        is_between = self.rng.random() < 0.5
        if not is_between:
            self.clock.after(10, lambda: self._rotate(edit))
        self.clock.after(30, lambda: self._save(edit, client, url, form, is_between=is_between))

    def _save(self, edit: Edit, client: Client, url: str, form: dict[str, Any], *, is_between: bool) -> None:
        if self.processes.is_down:
            return
        self.met["page saved by two people"] += 1
        if is_between:
            self._meanwhile = lambda: self._rotate(edit)
        kill, self.processes.kill_probability = self.processes.kill_probability, 0.0
        self.processes.run(PAGE, lambda: self._post(edit, client, url, form | {"name": edit.name}))
        self.processes.kill_probability, self._meanwhile = kill, None
        self.edits.append(edit)

    def _post(self, edit: Edit, client: Client, url: str, form: dict[str, Any]) -> None:
        answer = client.post(url, form)
        edit.status = answer.status_code

    def _before_write(self, process: Process) -> None:
        """Act between the reading and the first writing of the page."""
        if process.name == PAGE and self._meanwhile is not None:
            act, self._meanwhile = self._meanwhile, None
            act()

    def _rotate(self, edit: Edit) -> None:
        """Replace the client's webhook URL; the old one works for a day more."""
        uis = UisConnection.objects.get(tenant=edit.tenant.row.pk)
        uis.rotate_hook(now=timezone.now())
        edit.hook = uis.hook
