"""Random faults of one hour, drawn from the seed, each with its start, duration and repair."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenants.models import Tenant
from tests import task_queue
from tests.chaos.clock import Clock
from tests.chaos.network import CRM, UIS
from tests.chaos.tenants import ChaosTenant

LINE_KINDS = {
    UIS: ("503", "500", "html", "timeout", "refused", "cut", "internal_error", "slow"),
    CRM: ("503", "429", "500", "html", "timeout", "refused", "cut", "slow"),
}


@dataclass
class Outage:
    """Failing requests of one client, or of all; at most `times`."""

    side: str
    kind: str
    account: str | None
    begin: datetime
    end: datetime
    times: int | None = None

    def matches(self, side: str, account: str, now: datetime) -> bool:
        return (
            side == self.side and self.account in {None, account} and self.begin <= now < self.end and self.times != 0
        )


class Faults:
    """All faults, and counts of those that took effect."""

    def __init__(self, clock: Clock, tenants: list[ChaosTenant], rng: random.Random) -> None:
        self.clock, self.tenants, self.rng = clock, tenants, rng
        self.outages: list[Outage] = []
        self.met: Counter[str] = Counter()
        self.last_end = clock.now()

    def find(self, side: str, account: str) -> str | None:
        """Return the kind of outage that applies to a request now."""
        now = self.clock.now()
        outage = next((outage for outage in self.outages if outage.matches(side, account, now)), None)
        if outage is None:
            return None
        if outage.times:
            outage.times -= 1
        return outage.kind

    def plan(self, *, begin: datetime, lasts: timedelta) -> None:
        """Draw the faults of the hour."""
        makers = [self._outage, self._outage, self._outage, self._outage, *self._makers()]
        count = max(3, round(len(self.tenants) * 1.3))
        for maker in self.rng.choices(makers, k=count):
            since = begin + lasts * self.rng.random() * 0.9
            length = self._length(lasts)
            maker(since, length)
            self.last_end = max(self.last_end, since + length)

    def _makers(self) -> list[Callable[[datetime, timedelta], None]]:
        return [
            self._uis_key,
            self._whitelist,
            self._crm_key,
            self._module,
            self._points,
            self._pause,
            self._queue,
        ]

    def _length(self, lasts: timedelta) -> timedelta:
        return max(timedelta(seconds=5), lasts * 0.7 * self.rng.random() ** 2)

    def _outage(self, since: datetime, length: timedelta) -> None:
        side = self.rng.choice([UIS, CRM])
        tenant, is_all = self.rng.choice(self.tenants), self.rng.random() < 0.25
        account = tenant.pbx.token if side == UIS else tenant.crm.host
        kind = self.rng.choice(LINE_KINDS[side])
        self.outages.append(Outage(side, kind, None if is_all else account, since, since + length))

    def _schedule(
        self, name: str, since: datetime, length: timedelta, *, break_it: Callable[[], None], repair: Callable[[], None]
    ) -> None:
        def begin() -> None:
            self.met[name] += 1
            break_it()

        self.clock.at(since, begin)
        self.clock.at(since + length, repair)

    def _uis_key(self, since: datetime, length: timedelta) -> None:
        pbx, state = self.rng.choice(self.tenants).pbx, self.rng.choice(["blocked", "expired"])
        self._schedule(
            "UIS key revoked",
            since,
            length,
            break_it=lambda: setattr(pbx, "token_state", state),
            repair=lambda: setattr(pbx, "token_state", "valid"),
        )

    def _whitelist(self, since: datetime, length: timedelta) -> None:
        pbx = self.rng.choice(self.tenants).pbx
        self._schedule(
            "IP address not whitelisted",
            since,
            length,
            break_it=lambda: setattr(pbx, "is_whitelisted", False),
            repair=lambda: setattr(pbx, "is_whitelisted", True),
        )

    def _crm_key(self, since: datetime, length: timedelta) -> None:
        crm = self.rng.choice(self.tenants).crm
        key = crm.key
        self._schedule(
            "CRM key revoked",
            since,
            length,
            break_it=lambda: setattr(crm, "key", "revoked"),
            repair=lambda: setattr(crm, "key", key),
        )

    def _module(self, since: datetime, length: timedelta) -> None:
        crm = self.rng.choice(self.tenants).crm

        def switch(*, on: bool) -> None:
            for module in [*crm.modules.values(), *crm.settings_v4.values()]:
                module["active"] = on

        self._schedule(
            "module switched off", since, length, break_it=lambda: switch(on=False), repair=lambda: switch(on=True)
        )

    def _points(self, since: datetime, length: timedelta) -> None:
        pbx, field = self.rng.choice(self.tenants).pbx, self.rng.choice(["minute_limit", "day_limit"])
        value = getattr(pbx, field)
        self._schedule(
            "API points exhausted",
            since,
            length,
            break_it=lambda: setattr(pbx, field, 0),
            repair=lambda: setattr(pbx, field, value),
        )

    def _pause(self, since: datetime, length: timedelta) -> None:
        tenant = self.rng.choice(self.tenants)

        def load() -> Tenant:
            return Tenant.objects.get(pk=tenant.row.pk)

        self._schedule("client paused", since, length, break_it=lambda: load().pause(), repair=lambda: load().resume())

    def _queue(self, since: datetime, _length: timedelta) -> None:
        def lose_queue() -> None:
            self.met["queue lost"] += 1
            self.met["tasks lost with it"] += task_queue.lose()

        self.clock.at(since, lose_queue)
