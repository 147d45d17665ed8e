"""What must have become of a call, from the contract and the client's choices alone: it asks nothing of the product.

Of a talk UIS keeps everything, so there is one right record. Whose phone rang for a missed call is told by
notifications that may never come: then every record is right that fits what did come, and no other.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.chaos.scenario import Story
from tests.chaos.tenants import Shop
from tests.chaos.traffic import DIALLED_ENDS
from tests.fakes.uis import Session
from tests.fakes.uis_session import Leg

MOST_UNSURE = 6


@dataclass(frozen=True)
class Fact:
    """Phones rang, as one source tells it: whose, and when, where that was told. It may not be sure to be known."""

    rings: tuple[tuple[int, datetime | None], ...]
    is_sure: bool


@dataclass(frozen=True)
class View:
    """One way to see a call: who may be the last whose phone rang, and everybody of whom that is known."""

    last: frozenset[int | None]
    rung: frozenset[int]


def result(session: Session) -> str:
    """Return how the call ended, in the CRM's words."""
    if session.talk_legs:
        return "answered"
    plain = (session.finish_reason or "").replace("caller", "subscriber").replace("responsive", "responsible")
    return DIALLED_ENDS.get(plain, "no answer") if session.direction == "out" else "no answer"


def phone(number: str) -> str:
    """Return a number as the CRM gets it."""
    return f"+{number}" if len(number) > 5 else number


def date(session: Session, zone: ZoneInfo) -> str:
    """Return when the call began by the CRM account's clock."""
    return session.started_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def talker(session: Session, rule: str) -> int | None:
    """Return whose answered call it is by the client's rule."""
    talks = sorted(session.talk_legs, key=_connected)  # one after the other: who talked last was connected last
    if rule == "FIRST_TALKER":
        return talks[0].employee_id
    if rule == "LONGEST_TALKER":
        total = {leg.employee_id: 0 for leg in talks}
        for leg in talks:
            total[leg.employee_id] += leg.duration
        return max(total, key=lambda uis_id: total[uis_id])
    return talks[-1].employee_id


def views(story: Story, facts: Iterable[Fact]) -> Iterator[View]:
    """Yield every way to see whose call it is: each fact that is not sure may be known or not."""
    session, rules = story.session, story.shop.choices
    if session.talk_legs:
        yield View(frozenset([talker(session, rules.owner)]), frozenset())
    elif session.direction == "out":
        yield View(frozenset([session.operator_legs[0].employee_id]), frozenset())
    else:
        facts = list(facts)
        sure = [fact for fact in facts if fact.is_sure]
        unsure = [fact for fact in facts if not fact.is_sure][:MOST_UNSURE]
        for taken in itertools.product([True, False], repeat=len(unsure)):
            yield _view([*sure, *itertools.compress(unsure, taken)])


def owners(story: Story, view: View) -> frozenset[int | None]:
    """Return the employees any of whom may own the call, by the client's rule for missed ones."""
    is_missed = story.session.direction == "in" and not story.session.talk_legs
    return frozenset([None]) if is_missed and story.shop.choices.missed_owner == "NOBODY" else view.last


def manager(story: Story, owner: int | None) -> int | None:
    """Return the CRM user who must own the record."""
    shop = story.shop
    is_missed = story.session.direction == "in" and not story.session.talk_legs
    if is_missed and shop.choices.missed_owner == "RESPONSIBLE" and story.session.contact in shop.crm.responsible:
        return shop.crm.responsible[story.session.contact]
    person = shop.person(owner)
    return person.user_id if person else None


def rules(story: Story, owner: int | None, view: View) -> set[str]:
    """Return every rule that keeps this call out of the CRM."""
    session, choices = story.session, story.shop.choices
    if is_internal(story):
        found = {"INTERNAL_OFF"} if "internal" in choices.off else set()
    else:
        kind = "outgoing" if session.direction == "out" else "answered" if session.talk_legs else "missed"
        found = {f"{kind.upper()}_OFF"} if kind in choices.off else set()
    if not session.contact.isdigit():
        found.add("HIDDEN_NUMBER")
    people = {owner} if owner is not None else set(view.rung)
    for name, (mode, members), having in (
        ("NUMBER", choices.number, {session.number}),
        ("EMPLOYEE", choices.employee, people),
        ("CONTACT", choices.contact, {session.contact}),
    ):
        if mode != "ALL" and bool(members & having) != (mode == "ONLY"):
            found.add(name)
    return found


def is_internal(story: Story) -> bool:
    """Say whether nobody from outside took part: numbers of the client's own are no customers'."""
    shop, contact = story.shop, story.session.contact
    own = {*shop.numbers, *(person.mobile for person in shop.people), *(person.extension for person in shop.people)}
    return story.session.is_internal or contact in own


def links(story: Story) -> set[str]:
    """Return every address under which this call, or a part of it, can be heard."""
    session = story.session
    whole = {f"https://media.{session.account.domain}/{session.communication_id}/{one}" for one in session.records[:1]}
    return whole | {session.link(record) for record in session.records}


def recording_deadline(story: Story) -> datetime:
    """Return until when a record waits for its recording."""
    return story.ended_at + timedelta(minutes=story.shop.choices.recording_wait)


def is_recorded(shop: Shop, session: Session, owner: int | None) -> bool:
    """Say whether a recording of the owner's calls is to be waited for."""
    person = shop.person(owner)
    return person is None or person.recorded in {"all", session.direction}


def _view(facts: list[Fact]) -> View:
    rings = [ring for fact in facts for ring in fact.rings]
    timed = {employee_id: ringing_at for employee_id, ringing_at in rings if ringing_at is not None}
    rung = frozenset(employee_id for employee_id, _ringing_at in rings)
    latest = max(timed, key=lambda uis_id: timed[uis_id], default=None)
    # Who rang, nobody knows when, may have rung last; so may the last of those of whom it is known.
    last: set[int | None] = {*(rung - set(timed)), *([latest] if latest is not None else [])}
    return View(frozenset(last or {None}), rung)


def _connected(leg: Leg) -> datetime:
    assert leg.connected_at is not None
    return leg.connected_at
