"""What goes wrong in an hour: drawn from the seed, each with its begin and its length, and mended at its end."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenants.models import Tenant
from tests import task_queue
from tests.chaos.clock import Clock
from tests.chaos.network import CRM, UIS
from tests.chaos.tenants import Shop

LINE_KINDS = {
    UIS: ("503", "500", "html", "timeout", "refused", "cut", "internal_error", "slow"),
    CRM: ("503", "429", "500", "html", "timeout", "refused", "cut", "slow"),
}


@dataclass(frozen=True)
class Outage:
    """A line that is broken: of one client, or of all."""

    side: str
    kind: str
    account: str | None
    begin: datetime
    end: datetime

    def hits(self, side: str, account: str, now: datetime) -> bool:
        """Say whether a request meets it."""
        return side == self.side and self.account in {None, account} and self.begin <= now < self.end


class Faults:
    """All that goes wrong, and what was met of it."""

    def __init__(self, clock: Clock, shops: list[Shop], rng: random.Random) -> None:
        self.clock, self.shops, self.rng = clock, shops, rng
        self.outages: list[Outage] = []
        self.met: Counter[str] = Counter()
        self.last_end = clock.now()

    def strikes(self, side: str, account: str) -> str | None:
        """Return what a request meets at this moment."""
        now = self.clock.now()
        return next((outage.kind for outage in self.outages if outage.hits(side, account, now)), None)

    def plan(self, *, begin: datetime, lasts: timedelta) -> None:
        """Draw what goes wrong in the hour."""
        makers = [self._outage, self._outage, self._outage, self._outage, *self._makers()]
        count = max(3, round(len(self.shops) * 1.3))
        for maker in self.rng.choices(makers, k=count):
            since = begin + lasts * self.rng.random() * 0.9
            length = self._length(lasts)
            maker(since, length)
            self.last_end = max(self.last_end, since + length)

    def _makers(self) -> list[Callable[[datetime, timedelta], None]]:
        return [
            self._key_of_uis,
            self._address,
            self._key_of_crm,
            self._module,
            self._points,
            self._pause,
            self._queue,
        ]

    def _length(self, lasts: timedelta) -> timedelta:
        return max(timedelta(seconds=5), lasts * 0.7 * self.rng.random() ** 2)

    def _outage(self, since: datetime, length: timedelta) -> None:
        side = self.rng.choice([UIS, CRM])
        shop, is_all = self.rng.choice(self.shops), self.rng.random() < 0.25
        account = shop.pbx.token if side == UIS else shop.crm.host
        kind = self.rng.choice(LINE_KINDS[side])
        self.outages.append(Outage(side, kind, None if is_all else account, since, since + length))

    def _for_a_time(
        self, name: str, since: datetime, length: timedelta, *, spoil: Callable[[], None], mend: Callable[[], None]
    ) -> None:
        def begin() -> None:
            self.met[name] += 1
            spoil()

        self.clock.at(since, begin)
        self.clock.at(since + length, mend)

    def _key_of_uis(self, since: datetime, length: timedelta) -> None:
        pbx, state = self.rng.choice(self.shops).pbx, self.rng.choice(["blocked", "expired"])
        self._for_a_time(
            "key of UIS revoked",
            since,
            length,
            spoil=lambda: setattr(pbx, "token_state", state),
            mend=lambda: setattr(pbx, "token_state", "valid"),
        )

    def _address(self, since: datetime, length: timedelta) -> None:
        pbx = self.rng.choice(self.shops).pbx
        self._for_a_time(
            "address off the list",
            since,
            length,
            spoil=lambda: setattr(pbx, "is_whitelisted", False),
            mend=lambda: setattr(pbx, "is_whitelisted", True),
        )

    def _key_of_crm(self, since: datetime, length: timedelta) -> None:
        crm = self.rng.choice(self.shops).crm
        key = crm.key
        self._for_a_time(
            "key of the CRM revoked",
            since,
            length,
            spoil=lambda: setattr(crm, "key", "revoked"),
            mend=lambda: setattr(crm, "key", key),
        )

    def _module(self, since: datetime, length: timedelta) -> None:
        crm = self.rng.choice(self.shops).crm

        def switch(*, on: bool) -> None:
            for module in [*crm.modules.values(), *crm.settings_v4.values()]:
                module["active"] = on

        self._for_a_time(
            "module switched off", since, length, spoil=lambda: switch(on=False), mend=lambda: switch(on=True)
        )

    def _points(self, since: datetime, length: timedelta) -> None:
        pbx, word = self.rng.choice(self.shops).pbx, self.rng.choice(["minute_limit", "day_limit"])
        usual = getattr(pbx, word)
        self._for_a_time(
            "points used up",
            since,
            length,
            spoil=lambda: setattr(pbx, word, 0),
            mend=lambda: setattr(pbx, word, usual),
        )

    def _pause(self, since: datetime, length: timedelta) -> None:
        shop = self.rng.choice(self.shops)

        def fresh() -> Tenant:
            return Tenant.objects.get(pk=shop.tenant.pk)

        self._for_a_time("client paused", since, length, spoil=lambda: fresh().pause(), mend=lambda: fresh().resume())

    def _queue(self, since: datetime, _length: timedelta) -> None:
        def lose() -> None:
            self.met["queue lost"] += 1
            self.met["tasks lost with it"] += task_queue.lose()

        self.clock.at(since, lose)
