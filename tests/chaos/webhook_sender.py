"""Brings notifications and clicks to our web processes, as unreliably as the network does."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.test import Client

from tests.chaos.clock import Clock
from tests.chaos.processes import Processes
from tests.chaos.scenario import Story, Told, notices

DROPPED, DOUBLED, REORDERED = 0.05, 0.05, 0.10


class Courier:
    """The way from the vendors to us."""

    def __init__(self, clock: Clock, processes: Processes) -> None:
        self.clock, self.processes = clock, processes
        self.client = Client()
        self.met: Counter[str] = Counter()
        self.bugs: list[str] = []

    def tell(self, story: Story, rng: random.Random) -> None:
        """Let UIS tell of a call while it happens."""
        for event, employee_id, happened_at in notices(story.session):
            self._send(story, event, employee_id, happened_at, rng)

    def _send(
        self, story: Story, event: str, employee_id: int | None, happened_at: datetime, rng: random.Random
    ) -> None:
        fate, late, lag, again, changed = (rng.random() for _ in range(5))
        self.met["notifications"] += 1
        if fate < DROPPED:
            self.met["dropped"] += 1
            return
        seconds = 0.02 + 0.3 * lag
        if fate > 1 - REORDERED:
            self.met["reordered"] += 1
            seconds += 0.5 + 60 * late**3
        times = [seconds]
        if DROPPED <= fate < DROPPED + DOUBLED:
            self.met["doubled"] += 1
            times.append(seconds + 30 * again**2)
        for order, passed in enumerate(times):
            # The second of the two may bear another time: then it is no repeat by its bytes.
            written = happened_at + timedelta(milliseconds=order * (changed < 0.3))
            self.clock.at(
                happened_at + timedelta(seconds=passed), self._delivery(story, event, employee_id, happened_at, written)
            )

    def _delivery(
        self, story: Story, event: str, employee_id: int | None, happened_at: datetime, written: datetime
    ) -> Callable[[], None]:
        def deliver() -> None:
            arrived_at = self.clock.now()
            is_done = self._knock(story, event, employee_id, written)
            story.told.append(Told(event, employee_id, happened_at, arrived_at, is_sure=is_done))

        return deliver

    def _knock(self, story: Story, event: str, employee_id: int | None, written: datetime) -> bool:
        """Send one notification; say whether the web process lived to answer it."""
        shop, session = story.shop, story.session
        if shop.form == "query":
            query = session.as_query(event, employee_id=employee_id, at=written)
            return self._request(lambda: self.client.get(f"{shop.hook()}?{query}"))
        body = session.notification(event, employee_id=employee_id, at=written)
        return self._request(lambda: self.client.post(shop.hook(), body, content_type="application/json"))

    def _request(self, send: Callable[[], Any]) -> bool:
        def ask() -> None:
            answer = send()
            if answer.status_code != 200:
                self.bugs.append(f"a notification was answered with {answer.status_code}")

        return self.processes.run("web", ask)

    def ask_of_us(self, url: str, said: dict[str, str], *, note: Callable[[int], None]) -> None:
        """Let the CRM make a request to an address of ours; `note` is told the status of the answer."""
        self.processes.run("web", lambda: note(self.client.get(url, said).status_code))
