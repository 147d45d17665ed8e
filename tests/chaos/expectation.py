"""The expected result of a call, from the contract and the client's rules alone, without asking the product.

UIS keeps everything about a talk, so there is one correct record. Whose phone rang for a missed call is known from
notifications that may be lost: then every record is correct that is consistent with the delivered ones.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.chaos.scenario import CallScenario
from tests.chaos.tenants import ChaosTenant
from tests.chaos.traffic import DIALLED_ENDS
from tests.fakes.uis import Session
from tests.fakes.uis_session import Leg

MAX_UNSURE = 6


@dataclass(frozen=True)
class RingEvidence:
    """Ringing phones according to one source: whose, and when, if known. `is_sure`: the product certainly had it."""

    rings: tuple[tuple[int, datetime | None], ...]
    is_sure: bool


@dataclass(frozen=True)
class Interpretation:
    """One interpretation of a call: whose phone may have rung last, and whose phones are known to have rung."""

    last: frozenset[int | None]
    rang: frozenset[int]


def result(session: Session) -> str:
    """Return the call's result in the CRM's terms."""
    if session.talk_legs:
        return "answered"
    plain = (session.finish_reason or "").replace("caller", "subscriber").replace("responsive", "responsible")
    return DIALLED_ENDS.get(plain, "no answer") if session.direction == "out" else "no answer"


def phone(number: str) -> str:
    """Return a number as the CRM gets it."""
    return f"+{number}" if len(number) > 5 else number


def date(session: Session, zone: ZoneInfo) -> str:
    """Return when the call started_at, in the CRM account's time zone."""
    return session.started_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def talker(session: Session, rule: str) -> int | None:
    """Return the owner of an answered call by the client's rule."""
    talks = sorted(session.talk_legs, key=_connected)  # talks do not overlap: the last talk was connected last
    if rule == "FIRST_TALKER":
        return talks[0].employee_id
    if rule == "LONGEST_TALKER":
        total = {leg.employee_id: 0 for leg in talks}
        for leg in talks:
            total[leg.employee_id] += leg.duration
        return max(total, key=lambda uis_id: total[uis_id])
    return talks[-1].employee_id


def views(scenario: CallScenario, evidence: Iterable[RingEvidence]) -> Iterator[Interpretation]:
    """Yield all interpretations: each uncertain piece of evidence may be known or not."""
    session, rules = scenario.session, scenario.choices
    if session.talk_legs:
        yield Interpretation(frozenset([talker(session, rules.owner)]), frozenset())
    elif session.direction == "out":
        yield Interpretation(frozenset([session.operator_legs[0].employee_id]), frozenset())
    else:
        evidence = list(evidence)
        sure = [item for item in evidence if item.is_sure]
        unsure = [item for item in evidence if not item.is_sure][:MAX_UNSURE]
        for known in itertools.product([True, False], repeat=len(unsure)):
            yield _view([*sure, *itertools.compress(unsure, known)])


def owners(scenario: CallScenario, view: Interpretation) -> frozenset[int | None]:
    """Return the possible owners of the call, by the client's rule for missed calls."""
    is_missed = scenario.session.direction == "in" and not scenario.session.talk_legs
    return frozenset([None]) if is_missed and scenario.choices.missed_owner == "NOBODY" else view.last


def manager(scenario: CallScenario, owner: int | None) -> int | None:
    """Return the CRM user who must own the record."""
    tenant = scenario.tenant
    is_missed = scenario.session.direction == "in" and not scenario.session.talk_legs
    if (
        is_missed
        and scenario.choices.missed_owner == "RESPONSIBLE"
        and scenario.session.contact in tenant.crm.responsible
    ):
        return tenant.crm.responsible[scenario.session.contact]
    person = tenant.person(owner)
    return person.user_id if person else None


def rules(scenario: CallScenario, owner: int | None, view: Interpretation) -> set[str]:
    """Return all rules that exclude this call from the CRM."""
    session, choices = scenario.session, scenario.choices
    if is_internal(scenario):
        found = {"INTERNAL_OFF"} if "internal" in choices.off else set()
    else:
        kind = "outgoing" if session.direction == "out" else "answered" if session.talk_legs else "missed"
        found = {f"{kind.upper()}_OFF"} if kind in choices.off else set()
    if not session.contact.isdigit():
        found.add("HIDDEN_NUMBER")
    if choices.field_map == "leaves out" and session.direction == "out":
        found.add("FIELD_MAP")
    people = {owner} if owner is not None else set(view.rang)
    for name, (mode, members), values in (
        ("NUMBER", choices.number, {session.number}),
        ("EMPLOYEE", choices.employee, people),
        ("CONTACT", choices.contact, {session.contact}),
    ):
        if mode != "ALL" and bool(members & values) != (mode == "ONLY"):
            found.add(name)
    return found


def is_internal(scenario: CallScenario) -> bool:
    """Return whether nobody external took part: the client's own numbers are not customers."""
    tenant, contact = scenario.tenant, scenario.session.contact
    own = {
        *tenant.numbers,
        *(person.mobile for person in tenant.people),
        *(person.extension for person in tenant.people),
    }
    return scenario.session.is_internal or contact in own


def links(scenario: CallScenario) -> set[str]:
    """Return all URLs of the call's recordings."""
    session = scenario.session
    full_recording = {
        f"https://media.{session.account.domain}/{session.communication_id}/{one}" for one in session.records[:1]
    }
    return full_recording | {session.link(record) for record in session.records}


def recording_deadline(scenario: CallScenario) -> datetime:
    """Return until when the upload waits for the recording."""
    return scenario.ended_at + timedelta(minutes=scenario.choices.recording_wait)


def is_recorded(tenant: ChaosTenant, session: Session, owner: int | None) -> bool:
    """Return whether the owner's calls are recorded, so that the upload waits for the recording."""
    person = tenant.person(owner)
    return person is None or person.recorded in {"all", session.direction}


def _view(evidence: list[RingEvidence]) -> Interpretation:
    rings = [ring for item in evidence for ring in item.rings]
    timed = {employee_id: ringing_at for employee_id, ringing_at in rings if ringing_at is not None}
    rang = frozenset(employee_id for employee_id, _ringing_at in rings)
    latest = max(timed, key=lambda uis_id: timed[uis_id], default=None)
    # A phone without a known time may have rung last; of those with a time, only the latest.
    last: set[int | None] = {*(rang - set(timed)), *([latest] if latest is not None else [])}
    return Interpretation(frozenset(last or {None}), rang)


def _connected(leg: Leg) -> datetime:
    assert leg.connected_at is not None
    return leg.connected_at
