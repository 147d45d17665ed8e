"""Holds what became of every call against what must have become of it. One line for each difference."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from telephony.models import Call
from tests.chaos import expectation
from tests.chaos.observed import Accepted, Evidence
from tests.chaos.scenario import Click, Story, Truth
from tests.chaos.tenants import Shop

FRESH = timedelta(seconds=10)
ROUNDED = timedelta(seconds=2)  # UIS's reports tell whole seconds of when a call began and how long it was
# A card may wait for its turn in the CRM's request limit, and for the line.
ON_ITS_WAY = timedelta(seconds=8)


@dataclass
class Scene:
    """All that is to be judged."""

    shops: list[Shop]
    truth: Truth
    evidence: Evidence
    accepted: dict[tuple[int, str], Accepted]
    complaints: list[str]  # of those who saw the run


def judge(scene: Scene) -> list[str]:
    """Return every difference."""
    found = list(scene.complaints)
    for shop in scene.shops:
        for differing in (_calls(scene, shop), _history(scene, shop), _cards(scene, shop)):
            found += [f"{shop.slug} {line}" for line in differing]
    found += [f"{click.shop.slug} {line}" for click in scene.truth.clicks for line in _click(click)]
    return found


def _calls(scene: Scene, shop: Shop) -> Iterator[str]:
    """Every call UIS lists has one row, in one state, and the right one."""
    rows = {call.session_id: call for call in Call.objects.filter(tenant=shop.tenant)}
    for story in scene.truth.of(shop):
        call = rows.pop(story.session.session_id, None)
        for line in _call(scene, story, call):
            yield f"{story.session.session_id} ({story.kind}): {line}"
    for session_id in rows:
        yield f"{session_id}: our ledger has a call that UIS does not list"


def _call(scene: Scene, story: Story, call: Call | None) -> Iterator[str]:
    if call is None:
        yield "nobody recorded it"
    elif call.state == Call.State.SKIPPED:
        yield from _skipped(scene, story, call)
    elif call.state == Call.State.UPLOADED:
        if call.skip_reason:
            yield f"it is uploaded, and kept back by {call.skip_reason}"
    else:
        yield f"it ended as {call.state}, cause {call.reason or 'none'}, {'stopped' if call.failed_at else 'waiting'}"


def _skipped(scene: Scene, story: Story, call: Call) -> Iterator[str]:
    facts = scene.evidence.rings(story, accepted=None)
    allowed = {
        rule
        for view in expectation.views(story, facts)
        for owner in expectation.owners(story, view)
        for rule in expectation.rules(story, owner, view)
    }
    if call.skip_reason not in allowed:
        yield f"it was skipped by {call.skip_reason}, and the rules allow {sorted(allowed) or 'no skipping'}"


def _history(scene: Scene, shop: Shop) -> Iterator[str]:
    """Every record in the CRM is the right one of a call UIS lists, and there once."""
    stories = {f"uis-{story.session.session_id}": story for story in scene.truth.of(shop)}
    states = dict(Call.objects.filter(tenant=shop.tenant).values_list("session_id", "state"))
    for external_id, count in Counter(str(record.get("externalId")) for record in shop.crm.calls).items():
        if count > 1:
            yield f"{external_id} is {count} times in the CRM"
    there = set()
    for record in shop.crm.calls:
        story = stories.get(str(record.get("externalId")))
        if story is None:
            yield f"the CRM has {record.get('externalId')}, which UIS does not list"
            continue
        there.add(story.session.session_id)
        for line in _record(scene, story, record):
            yield f"{story.session.session_id} ({story.kind}): {line}"
    for session_id, state in states.items():
        if (state == Call.State.UPLOADED) != (session_id in there):
            yield f"{session_id}: it is {state}, and {'' if session_id in there else 'not '}in the CRM"


def _record(scene: Scene, story: Story, record: dict[str, Any]) -> Iterator[str]:
    session = story.session
    expected = {
        "type": session.direction,
        "result": expectation.result(session),
        "phone": expectation.phone(session.contact),
        "externalPhone": expectation.phone(session.number),
        "duration": session.talk,
        "date": expectation.date(session, story.shop.zone),
    }
    for name, value in expected.items():
        if record.get(name) != value:
            yield f"{name} is {record.get(name)!r}, not {value!r}"
    accepted = scene.accepted.get((story.shop.order, record["externalId"]))
    if accepted is None:
        yield "nobody saw it being uploaded"
        return
    yield from _owner(scene, story, record, accepted)
    yield from _link(scene, story, record, accepted)


def _owner(scene: Scene, story: Story, record: dict[str, Any], accepted: Accepted) -> Iterator[str]:
    facts = scene.evidence.rings(story, accepted=accepted)
    seen = [(view, owner) for view in expectation.views(story, facts) for owner in expectation.owners(story, view)]
    passing = [owner for view, owner in seen if not expectation.rules(story, owner, view)]
    if not passing:
        broken = sorted({rule for view, owner in seen for rule in expectation.rules(story, owner, view)})
        yield f"it was uploaded against {broken}"
        return
    managers = {expectation.manager(story, owner) for owner in passing}
    if record["_manager"] not in managers:
        yield f"its manager is {record['_manager']}, not {sorted(managers, key=str)}"


def _link(scene: Scene, story: Story, record: dict[str, Any], accepted: Accepted) -> Iterator[str]:
    link, known = record.get("recordUrl"), expectation.links(story)
    if link is not None and not story.shop.choices.send_recording:
        yield "it has a recording, and the client wants none"
    elif link is not None and link not in known:
        yield "its recording is another call's"
    if link is not None or not known or not story.shop.choices.send_recording:
        return
    if scene.evidence.shown_recording(story, accepted):
        yield "its recording was shown by UIS, and is not in the CRM"
    owner = next(iter(next(expectation.views(story, ())).last))
    is_early = accepted.at < expectation.recording_deadline(story) - ROUNDED
    if is_early and expectation.is_recorded(story.shop, story.session, owner):
        yield "its recording was not waited for"


def _cards(scene: Scene, shop: Shop) -> Iterator[str]:
    """Every card is of a phone of this client that has just begun to ring."""
    stories = {f"uis-{story.session.session_id}": story for story in scene.truth.of(shop)}
    for event in shop.crm.events:
        story = stories.get(str(event.get("callExternalId")))
        if story is None or expectation.phone(story.session.contact) != event["phone"]:
            yield f"a card of {event.get('callExternalId')} is of another client's call, or of none"
        elif event["type"] != "hangup":
            for line in _card(scene, story, event):
                yield f"{story.session.session_id} ({story.kind}): {line}"


def _card(scene: Scene, story: Story, event: dict[str, Any]) -> Iterator[str]:
    codes = event.get("codes", [])
    people = [person for person in story.shop.people if person.extension in codes]
    rang = {leg.employee_id: leg.started_at for leg in story.session.operator_legs}
    overslept = scene.evidence.overslept(story.shop.crm.host, event["_at"])
    for person in people:
        if person.uis_id not in rang:
            yield f"a card for {person.extension}, whose phone did not ring"
        elif event["_at"] - rang[person.uis_id] - overslept > FRESH + ON_ITS_WAY:
            yield f"a card {(event['_at'] - rang[person.uis_id]).total_seconds():.0f} s after the ring"


def _click(click: Click) -> Iterator[str]:
    dialled = [one for one in click.shop.pbx.dialled if one["contact"] == click.contact]
    if len(dialled) > 1 + click.is_two:
        yield f"a click rang {len(dialled)} times"
    if any(one["employee"]["id"] != click.employee_id for one in dialled):
        yield "a click rang somebody else"
    if any(status not in {200, 400} for status in click.answers):
        yield f"a click was answered with {click.answers}"
