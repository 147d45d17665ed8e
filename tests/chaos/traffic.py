"""An hour of calls of every kind, and actions of CRM users."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.clock import Clock
from tests.chaos.network import RecordedRequest
from tests.chaos.scenario import CallScenario, Click, GroundTruth
from tests.chaos.tenants import ChaosTenant, Person
from tests.chaos.webhook_sender import WebhookSender
from tests.fakes.uis import Session
from tests.fakes.uis_session import CallScript

KINDS = {
    "missed": 22,
    "menu": 10,
    "answered": 24,
    "transferred": 10,
    "outgoing": 10,
    "outgoing unanswered": 8,
    "click": 8,
    "internal": 4,
    "hidden": 4,
    "own number": 3,
    "status": 4,
}
MENU_ENDS = ("no_success_operator_call", "timeout", "group_inactive_by_schedule", "sip_offline", "employee_busy")
# finish reason of an unanswered outgoing call -> the CRM's result
DIALLED_ENDS = {
    "subscriber_not_responsible": "no answer",
    "subscriber_busy": "busy",
    "subscriber_number_problems": "failed",
    "no_money": "not allowed",
}
# The product treats two clicks within five seconds as one.
DOUBLE_CLICK = timedelta(seconds=5)
STATUSES = ("free", "busy", "dinner", "break")


class Traffic:
    """Plans the calls, and plays each at its time. The content of a call depends on the seed alone."""

    def __init__(
        self, clock: Clock, sender: WebhookSender, truth: GroundTruth, *, seed: int, kinds: tuple[str, ...] = ()
    ) -> None:
        self.clock, self.sender, self.truth, self.seed = clock, sender, truth, seed
        self.shares = {kind: KINDS[kind] for kind in kinds or KINDS}

    def plan(self, tenant: ChaosTenant, count: int, *, begin: datetime, lasts: timedelta) -> None:
        """Distribute a client's calls over the hour."""
        for number in range(count):
            rng = random.Random(f"{self.seed}/{tenant.order}/{number}")
            kind = rng.choices(list(self.shares), list(self.shares.values()))[0]
            moment = begin + lasts * rng.random()
            self.clock.at(moment, self._player(tenant, kind, rng))

    def _player(self, tenant: ChaosTenant, kind: str, rng: random.Random) -> Callable[[], None]:
        if kind == "click":
            return lambda: self._click(tenant, rng)
        if kind == "status":
            return lambda: self._change_status(tenant, rng)
        return lambda: self._call(tenant, kind, rng)

    def _call(self, tenant: ChaosTenant, kind: str, rng: random.Random) -> None:
        fields: dict[str, Any] = {"number": rng.choice(tenant.numbers), "contact": tenant.new_contact()}
        session = tenant.pbx.call(started_at=self.clock.now(), **(fields | _draw_call(tenant, kind, rng)))
        if rng.random() < 0.4 and (known := [one.user_id for one in tenant.people if one.user_id]):
            tenant.crm.responsible[session.contact] = rng.choice(known)
        self._start(CallScenario(tenant, session, kind), rng)

    def _start(self, scenario: CallScenario, rng: random.Random) -> None:
        """Schedule the notifications of a call and its appearance in the reports."""
        _delay_reports(scenario.session, rng)
        self.truth.add(scenario)
        self.sender.send_all(scenario, rng)

    def _click(self, tenant: ChaosTenant, rng: random.Random) -> None:
        person = rng.choice(tenant.people)
        click = Click(tenant, tenant.new_contact(), person.uis_id)
        self.truth.clicks.append(click)
        query = {"code": person.extension, "phone": f"+{click.contact}"}
        if person.user_id is not None:
            query["userId"] = str(person.user_id)
        clicked_at = self.clock.now()

        def click_again() -> None:
            click.is_second_call = self.clock.now() - clicked_at > DOUBLE_CLICK
            self._ask(tenant, "makeCallUrl", query, click.answers.append)

        self._ask(tenant, "makeCallUrl", query, click.answers.append)
        if rng.random() < 0.3:
            self.clock.after(rng.uniform(0.1, 2.5), click_again)

    def dialled(self, tenant: ChaosTenant, request: RecordedRequest) -> None:
        """UIS calls the employee who clicked: play that call."""
        session = next(one for one in reversed(tenant.pbx.sessions.values()) if one.is_running)
        rng = random.Random(f"{self.seed}/{tenant.order}/{session.contact}/{request.at}")
        person = session.operator_legs[0].employee_id or 0
        talk = rng.randint(5, 300) if rng.random() < 0.7 else 0
        script = CallScript(
            rings=[person], talks=[(person, talk)] if talk else [], wait=rng.randint(6, 30), employee_answered=True
        )
        tenant.pbx.close_session(session, script)
        self._start(CallScenario(tenant, session, "click"), rng)

    def _change_status(self, tenant: ChaosTenant, rng: random.Random) -> None:
        person = rng.choice(tenant.people)
        query = {"code": person.extension, "userId": str(person.user_id or ""), "status": rng.choice(STATUSES)}
        self._ask(tenant, "changeUserStatusUrl", query, lambda _status: None)

    def _ask(self, tenant: ChaosTenant, address: str, query: dict[str, str], on_status: Callable[[int], None]) -> None:
        """Send a request to a URL of our module in the CRM, with its clientId."""
        modules = [*tenant.crm.modules.values(), *tenant.crm.settings_v4.values()]
        module = modules[0]
        block = module.get("integrations", {}).get("telephony") or module
        query = {"clientId": str(module["clientId"]), **query}
        self.sender.send_callback(urlsplit(str(block[address])).path, query, on_status=on_status)


def _draw_call(tenant: ChaosTenant, kind: str, rng: random.Random) -> dict[str, Any]:
    """Draw the parameters of a call."""
    people = rng.sample(tenant.people, rng.randint(1, min(3, len(tenant.people))))
    if kind == "missed":
        return {"rings": _ids(people), "wait": rng.randint(4, 40)}
    if kind == "menu":
        return {"wait": rng.randint(0, 30), "finish_reason": tenant.pbx.spell(rng.choice(MENU_ENDS))}
    if kind == "outgoing":
        return {"direction": "out", "talks": _talks(people[:1], rng), "wait": rng.randint(2, 25)}
    if kind == "outgoing unanswered":
        reason = tenant.pbx.spell(rng.choice(list(DIALLED_ENDS)))
        return {"direction": "out", "rings": _ids(people[:1]), "wait": rng.randint(3, 40), "finish_reason": reason}
    answered = {"rings": _ids(people), "talks": _talks(people[:1], rng), "wait": rng.randint(2, 25)}
    if kind == "transferred":
        return answered | {"talks": _talks(_transfer_chain(tenant, people[0], rng), rng)}
    if kind in {"internal", "hidden", "own number"}:
        return _draw_unusual_call(tenant, kind, people, rng)
    return answered | {"recorded": rng.random() < 0.9}


def _draw_unusual_call(tenant: ChaosTenant, kind: str, people: list[Person], rng: random.Random) -> dict[str, Any]:
    """Draw a call without a customer, or with a hidden number."""
    other = rng.choice([person for person in tenant.people if person is not people[0]])
    own = rng.choice([other.mobile, tenant.numbers[0]])
    contact = {"internal": other.extension, "hidden": "anonymous", "own number": own}[kind]
    fields: dict[str, Any] = {"rings": _ids(people), "wait": rng.randint(2, 25), "contact": contact}
    talks = _talks(people[:1], rng) if rng.random() < 0.5 else []
    return fields | {"talks": talks, "is_internal": kind == "internal"}


def _transfer_chain(tenant: ChaosTenant, first: Person, rng: random.Random) -> list[Person]:
    second = rng.choice([person for person in tenant.people if person is not first])
    third = rng.choice([person for person in tenant.people if person is not second])
    return [first, second, third][: rng.randint(2, 3)]


def _ids(people: list[Person]) -> list[int]:
    return [person.uis_id for person in people]


def _talks(people: list[Person], rng: random.Random) -> list[tuple[int, int]]:
    return [(person.uis_id, rng.randint(3, 400)) for person in people]


def _delay_reports(session: Session, rng: random.Random) -> None:
    """Draw when the reports show the call, and when its recordings."""
    assert session.ended_at is not None
    session.visible_at = session.ended_at + timedelta(seconds=_draw_delay(rng, usual=4, rare=600))
    session.records_at = session.ended_at + timedelta(seconds=_draw_delay(rng, usual=40, rare=1500))


def _draw_delay(rng: random.Random, *, usual: float, rare: float) -> float:
    share, amount = rng.random(), rng.random()
    return 1 + amount * (usual if share < 0.8 else rare * amount)
