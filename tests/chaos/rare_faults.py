"""Faults that are met once in a long while: a wrong answer, a right missing for days, dead clusters, lost keys."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.db.models.expressions import RawSQL

from telephony.models import Call, State
from tenants.models import UisConnection
from tests.chaos.clock import Clock
from tests.chaos.faults import Faults, Outage
from tests.chaos.network import CRM, UIS, WAIT
from tests.chaos.processes import Processes
from tests.chaos.tenants import FIRST_EXTRA_USER, ChaosTenant
from tests.chaos.workers import Workers
from tests.fakes.uis_faults import GARBLED

HOUR = timedelta(hours=1)
DEAD_CLUSTER, OUTAGE = timedelta(minutes=30), timedelta(hours=5)
UNREADABLE_KEY = timedelta(minutes=20)
DEADLOCKS = 0.004
LOST_KEY = "gAAAAAB" + "lostkey" * 14 + "=="
# Rows of these states have a step with the recording's URL before them.
WITH_URL = (State.FETCHING_LEGS, State.READY)
SEARCH_SECONDS, SEARCHES = 10, 300


class RareFaults:
    """Draws at least three kinds of them for each run; the long ones in some runs only."""

    def __init__(self, faults: Faults, processes: Processes, workers: Workers, rng: random.Random) -> None:
        self.faults, self.processes, self.workers, self.rng = faults, processes, workers, rng
        self.clock: Clock = faults.clock
        self.tenants: list[ChaosTenant] = faults.tenants
        self.met: Counter[str] = Counter()
        self.poisoned: set[tuple[int, int]] = set()  # tenant and session
        self.unreadable_keys = set[int]()  # connections
        self.long_kind = "nothing"
        processes.is_expected = self._is_expected

    def plan(self, *, begin: datetime, lasts: timedelta) -> None:
        """Draw the faults."""
        short = [self._garbled, self._garbled, self._wait, self._short_list, self._row, self._key, self._deadlocks]
        for maker in [*self.rng.choices(short, k=5), self._paging]:
            self._at(begin + lasts * self.rng.random() * 0.9, maker)
        self._long_fault(begin + lasts * self.rng.random() * 0.7)

    def plan_long(self) -> timedelta:
        """Return for how long the traffic must go on: an outage of hours is met by calls."""
        self.long_kind = self.rng.choice(["fast cluster", "outage", "right", "right", "nothing"])
        return OUTAGE + HOUR if self.long_kind == "outage" else timedelta()

    def _long_fault(self, since: datetime) -> None:
        kinds = {"fast cluster": self._fast_cluster, "outage": self._outage, "right": self._right}
        if self.long_kind in kinds:
            self._at(since, kinds[self.long_kind])

    def _at(self, moment: datetime, act: Callable[[], None]) -> None:
        self.clock.at(moment, act)
        self.faults.last_end = max(self.faults.last_end, moment)

    def _until(self, length: timedelta, repair: Callable[[], None]) -> None:
        end = self.clock.now() + length
        self._at(end, repair)

    def _tenant(self) -> ChaosTenant:
        return self.rng.choice(self.tenants)

    def _garbled(self) -> None:
        side, kind = self.rng.choice([UIS, CRM]), self.rng.choice(GARBLED)
        self._answer(side, kind, times=self.rng.randint(1, 3))

    def _wait(self) -> None:
        self._answer(self.rng.choice([UIS, CRM]), WAIT, times=1)

    def _answer(self, side: str, kind: str, *, times: int) -> None:
        """Answer the next requests of one client with it."""
        tenant, now = self._tenant(), self.clock.now()
        account = tenant.pbx.token if side == UIS else tenant.crm.host
        self.faults.outages.insert(0, Outage(side, kind, account, now, now + HOUR, times=times))

    def _short_list(self) -> None:
        tenant = self._tenant()
        if self.rng.random() < 0.5:
            tenant.pbx.shorten("get.employees", keep=self.rng.randint(0, 1), states_all=self.rng.random() < 0.3)
        else:
            tenant.crm.shorten_users(keep=self.rng.randint(0, 1))
        self._sync(tenant)
        self.met["list shortened once"] += 1

    def _paging(self) -> None:
        """Delete a user of the CRM, who is nobody's, while the list is paged."""
        tenant = self.tenants[0]
        tenant.crm.delete_user_while_paging(FIRST_EXTRA_USER, before_page=2)
        self._sync(tenant)
        self.met["user deleted while paging"] += 1

    def _sync(self, tenant: ChaosTenant) -> None:
        """Read the lists now: the hourly schedule may not come before the list is whole again."""
        self.workers.enqueue("telephony.tasks.sync_employees", tenant.row.pk)

    def _fast_cluster(self) -> None:
        self.met["fast cluster dead for half an hour"] += 1
        self.workers.dead_until["fast"] = self.clock.now() + DEAD_CLUSTER
        self._until(DEAD_CLUSTER, lambda: None)

    def _outage(self) -> None:
        self.met["all processes down for five hours"] += 1
        end = self.clock.now() + OUTAGE
        self.workers.dead_until = {"fast": end, "default": end}
        self.processes.is_down = True
        self._until(OUTAGE, lambda: setattr(self.processes, "is_down", False))

    def _right(self) -> None:
        """Take a right away for days: only what needs it waits."""
        self.met["right missing for days"] += 1
        tenant, length = self._tenant(), timedelta(days=self.rng.uniform(1, 3))
        kind = self.rng.choice(["legs", "employees", "telephony_write", "telephony_read", "user_read"])
        if kind == "legs":
            tenant.pbx.unavailable_methods.add("get.call_legs_report")
            return self._until(length, tenant.pbx.unavailable_methods.clear)
        if kind == "employees":
            tenant.pbx.permissions.discard("employees: select")
            return self._until(length, lambda: tenant.pbx.permissions.add("employees: select"))
        tenant.crm.scopes.discard(kind)
        return self._until(length, lambda: tenant.crm.scopes.add(kind))

    def _row(self, tries: int = SEARCHES) -> None:
        """Make the recording's URL of one call that has one unreadable, for ever: that call fails, no other does."""
        with_url = Call.objects.filter(state__in=WITH_URL, failed_at=None).exclude(recording_url="")
        found = with_url.order_by("pk").values_list("pk", "tenant__slug", "session_id").first()
        if found is None:
            if tries:
                self.clock.after(SEARCH_SECONDS, lambda: self._row(tries - 1))
            return
        pk, slug, session_id = found
        _overwrite(Call, "recording_url", pk)
        self.poisoned.add((next(one.order for one in self.tenants if one.slug == slug), session_id))
        self.met["row that cannot be decrypted"] += 1

    def _key(self) -> None:
        """Make the key of one client unreadable for a while, as after a wrong deployment."""
        connection_row = UisConnection.objects.get(tenant=self._tenant().row.pk)
        if connection_row.pk in self.unreadable_keys:
            return
        self.met["key that cannot be decrypted"] += 1
        right = connection_row.access_token
        self.unreadable_keys.add(connection_row.pk)
        _overwrite(UisConnection, "access_token", connection_row.pk)

        def repair() -> None:
            UisConnection.objects.filter(pk=connection_row.pk).update(access_token=right)
            self.unreadable_keys.remove(connection_row.pk)

        self._until(UNREADABLE_KEY, repair)

    def _deadlocks(self) -> None:
        self.processes.deadlock_probability = DEADLOCKS
        self._until(HOUR / 4, lambda: setattr(self.processes, "deadlock_probability", 0.0))

    def explains(self, line: str) -> bool:
        """Return whether a logged error is about a key or row that cannot be decrypted."""
        is_about_it = any(name in line for name in (ImproperlyConfigured.__name__, "Undecryptable"))
        return is_about_it and bool(self.met["key that cannot be decrypted"] or self.poisoned)

    def _is_expected(self, exc: Exception) -> bool:
        """A task of a client whose key cannot be read fails, and is repeated later."""
        return isinstance(exc, ImproperlyConfigured) and bool(self.unreadable_keys or self.poisoned)


def _overwrite(model: type[Model], column: str, pk: int) -> None:
    """Replace the stored text: the field itself would encrypt with the right key."""
    model._default_manager.filter(pk=pk).update(**{column: RawSQL("%s", [LOST_KEY])})
