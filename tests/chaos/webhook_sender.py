"""Sends notifications and clicks to our web processes, with drops, repeats and reordering."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.test import Client

from tests.chaos.clock import Clock
from tests.chaos.processes import Processes
from tests.chaos.scenario import CallScenario, DeliveredNotification, notifications_of

DROPPED, DOUBLED, REORDERED = 0.05, 0.05, 0.10


class WebhookSender:
    """The network from the vendors to the product."""

    def __init__(self, clock: Clock, processes: Processes) -> None:
        self.clock, self.processes = clock, processes
        self.client = Client()
        self.met: Counter[str] = Counter()
        self.bugs: list[str] = []

    def send_all(self, scenario: CallScenario, rng: random.Random) -> None:
        """Schedule all notifications of a call."""
        for event, employee_id, happened_at in notifications_of(scenario.session):
            self._send(scenario, event, employee_id, happened_at, rng)

    def _send(
        self, scenario: CallScenario, event: str, employee_id: int | None, happened_at: datetime, rng: random.Random
    ) -> None:
        outcome, delay, lag, repeat_delay, has_other_time = (rng.random() for _ in range(5))
        self.met["notifications"] += 1
        if outcome < DROPPED:
            self.met["dropped"] += 1
            return
        seconds = 0.02 + 0.3 * lag
        if outcome > 1 - REORDERED:
            self.met["reordered"] += 1
            seconds += 0.5 + 60 * delay**3
        times = [seconds]
        if DROPPED <= outcome < DROPPED + DOUBLED:
            self.met["doubled"] += 1
            times.append(seconds + 30 * repeat_delay**2)
        for order, seconds_late in enumerate(times):
            # The repeat may contain another time: then it is not identical.
            sent_time = happened_at + timedelta(milliseconds=order * (has_other_time < 0.3))
            self.clock.at(
                happened_at + timedelta(seconds=seconds_late),
                self._delivery(scenario, event, employee_id, happened_at, sent_time),
            )

    def _delivery(
        self, scenario: CallScenario, event: str, employee_id: int | None, happened_at: datetime, sent_time: datetime
    ) -> Callable[[], None]:
        def deliver() -> None:
            if self.processes.is_down:  # UIS does not send it again.
                self.met["webhooks refused"] += 1
                return
            arrived_at = self.clock.now()
            is_answered = self._deliver(scenario, event, employee_id, sent_time)
            scenario.notifications.append(
                DeliveredNotification(event, employee_id, happened_at, arrived_at, is_sure=is_answered)
            )

        return deliver

    def _deliver(self, scenario: CallScenario, event: str, employee_id: int | None, sent_time: datetime) -> bool:
        """Send one notification; return whether the web process survived to answer it."""
        tenant, session = scenario.tenant, scenario.session
        if tenant.form == "query":
            query = session.as_query(event, employee_id=employee_id, at=sent_time)
            return self._request(lambda: self.client.get(f"{tenant.hook()}?{query}"))
        body = session.notification(event, employee_id=employee_id, at=sent_time)
        return self._request(lambda: self.client.post(tenant.hook(), body, content_type="application/json"))

    def _request(self, send: Callable[[], Any]) -> bool:
        def send_request() -> None:
            answer = send()
            if answer.status_code != 200:
                self.bugs.append(f"a notification was answered with {answer.status_code}")

        return self.processes.run("web", send_request)

    def send_callback(self, url: str, query: dict[str, str], *, on_status: Callable[[int], None]) -> None:
        """Send a request of the CRM to the product; `on_status` gets the status code."""
        if self.processes.is_down:
            self.met["clicks refused"] += 1
            return
        self.processes.run("web", lambda: on_status(self.client.get(url, query).status_code))
