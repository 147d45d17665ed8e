"""What the simulator can play: single webhooks, parts of a call, whole calls, and what people do in the CRM."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.fakes.uis import EVENTS, Session
from tests.simulator import polling
from tests.simulator.fixtures import IVAN, NUMBER, PETR, World, Wrong
from tests.simulator.webhook_sender import FORMS, Courier, Send, over_http

Played = dict[str, Any]
STATUSES = ("free", "busy", "dinner", "break")


def play(world: World, asked: Mapping[str, Any], *, send: Send = over_http) -> Played:
    """Play one scene and tell what was sent. Raises Wrong for what cannot be played."""
    scene = SCENES.get(str(asked.get("scene")))
    if scene is None:
        raise Wrong(f"scene must be one of {', '.join(SCENES)}")
    form = str(asked.get("form", FORMS[0]))
    if form not in FORMS:
        raise Wrong(f"form must be one of {', '.join(FORMS)}")
    try:
        return scene(Courier(world, send, form), asked)
    except (ValueError, TypeError, KeyError) as exc:
        raise Wrong(f"{asked.get('scene')}: {exc}") from exc


def ring(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """Somebody calls: {"employees": [...], "contact": "7…"}. Every phone that rings is told of."""
    world = courier.world
    with world.lock:
        session = polling.ring(world, _employees(asked), contact=_contact(world, asked))
        rung = [leg.employee_id for leg in session.operator_legs]
    sent = [courier.notify(session, "incoming", at=world.uis.now())]
    sent += [courier.notify(session, "waiting", employee_id=uis_id, at=world.uis.now()) for uis_id in rung]
    return {"session": session.session_id, "sent": sent}


def answer(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """One of those whose phones ring takes the call: {"session": n, "employee": n}."""
    world = courier.world
    with world.lock:
        session = polling.find(world, asked.get("session"))
        uis_id = int(asked.get("employee") or session.operator_legs[-1].employee_id or 0)
        polling.answer(world, session, uis_id)
    return _told(session, [courier.notify(session, "talk_started", employee_id=uis_id, at=world.uis.now())])


def end(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """The call ends, a click-to-call too: {"session": n, "talk": seconds, "recorded": true}."""
    world = courier.world
    with world.lock:
        session = polling.find(world, asked.get("session"))
        polling.end(world, session, talk=asked.get("talk"), is_recorded=bool(asked.get("recorded", True)))
        is_lost_call = session.is_lost and session.direction == "in"
    events = ["talk_finished"] * bool(session.talk_legs) + ["call_end"] + ["lost_call"] * is_lost_call
    sent = [courier.notify(session, event, at=world.uis.now()) for event in events]
    if session.records:
        sent.append(courier.notify(session, "recorded", at=world.uis.now()))
    return _told(session, sent)


def ringing(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """A whole call as it happens, with a pause after each step: {"pause": 1.5} and what the steps take."""
    pause = float(asked.get("pause", 1.5))
    rang = ring(courier, asked)
    told = {**asked, "session": rang["session"]}
    threading.Event().wait(pause)
    answered = answer(courier, told)
    threading.Event().wait(pause)
    return {"session": rang["session"], "sent": [*rang["sent"], *answered["sent"], *end(courier, told)["sent"]]}


def missed(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """A call nobody took, over by now: {"employees": [...], "wait": 5, "events": ["call_end"], "days_ago": 0}."""
    session = _finished(courier.world, asked, talks=[])
    return _told(session, _tell(courier, session, asked, default=("incoming", "waiting", "call_end", "lost_call")))


def answered(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """A call somebody took, over by now: {"employee": n, "talk": 42, "recorded": true, "visible_after": 0, …}.

    The two delays say how many seconds pass until UIS's reports show the call and its recording; `talks` is a list of
    [employee, seconds] for a call that was transferred.
    """
    world = courier.world
    alone = [(asked.get("employee", IVAN), asked.get("talk", 42))]
    session = _finished(world, asked, talks=[(int(who), int(long)) for who, long in asked.get("talks", alone)])
    now = world.uis.now()
    session.visible_at = now + timedelta(seconds=float(asked.get("visible_after", 0)))
    session.records_at = now + timedelta(seconds=float(asked.get("record_after", 0)))
    recorded = ("recorded",) if session.records and not asked.get("record_after") else ()
    return _told(session, _tell(courier, session, asked, default=("call_end", *recorded)))


def event(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """One webhook: {"event": "waiting", "is_lost": false}. The current call goes as far as the event needs."""
    name = str(asked.get("event"))
    if name not in EVENTS:
        raise Wrong(f"event must be one of {', '.join(EVENTS)}")
    world = courier.world
    with world.lock:
        session = _at_stage(world, _stage_for(name, is_lost=bool(asked.get("is_lost"))), name)
    rung = [leg.employee_id for leg in session.operator_legs] if name == "waiting" else [None]
    sent = [courier.notify(session, name, employee_id=uis_id, at=world.uis.now()) for uis_id in rung]
    return _told(session, sent)


def broken(courier: Courier, _asked: Mapping[str, Any]) -> Played:
    """A template with mistakes in it."""
    return {"sent": [courier.break_template()]}


def click(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """A manager clicks a number in the CRM: {"user": 27, "contact": "7…"}. `end` then ends the call UIS began."""
    world = courier.world
    user_id = int(asked.get("user", 27))
    phone = f"+{_contact(world, asked)}"
    said = {"code": _extension(world, user_id), "phone": phone, "userId": str(user_id)}
    return {"phone": phone, "sent": [courier.call_back("makeCallUrl", said)]}


def dialled(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """UIS tells of a call that a click began: {"session": n}, or of the newest."""
    world = courier.world
    with world.lock:
        begun = [one for one in world.pbx.sessions.values() if one.source == "callapi" and one.is_running]
        session = polling.find(world, asked["session"]) if asked.get("session") else next(reversed(begun), None)
        if session is None:
            raise Wrong("no click has begun a call that still lasts")
        world.current = session
    return _told(session, [courier.notify(session, "outgoing", at=world.uis.now())])


def status(courier: Courier, asked: Mapping[str, Any]) -> Played:
    """A manager changes his status in the CRM: {"user": 27, "status": "dinner"}."""
    world = courier.world
    user_id, wanted = int(asked.get("user", 27)), str(asked.get("status", "dinner"))
    with world.lock:
        if user_id not in world.shop.users or wanted not in STATUSES:
            raise Wrong(f"no user {user_id} or no status {wanted!r}: statuses are {', '.join(STATUSES)}")
        world.shop.users[user_id]["status"] = wanted
    said = {"userId": str(user_id), "code": _extension(world, user_id), "status": wanted}
    return {"sent": [courier.call_back("changeUserStatusUrl", said)]}


def sync(courier: Courier, _asked: Mapping[str, Any]) -> Played:
    """Somebody is hired, in both systems; the connector learns of it when it next looks."""
    world = courier.world
    with world.lock:
        number = len(world.pbx.employees) + 1
        uis_id, user_id = IVAN + number - 1, max(world.shop.users) + 1
        extension, email = str(100 + number), f"employee-{number}@example.com"
        phones = [f"7999100{number:04}"]
        world.pbx.add_employee(uis_id, f"Новиков Олег {number}", extension=extension, email=email, numbers=phones)
        world.shop.add_user(user_id, first_name="Олег", last_name="Новиков", email=email)
    return {"employee": uis_id, "user": user_id, "extension": extension, "sent": []}


SCENES: dict[str, Callable[[Courier, Mapping[str, Any]], Played]] = {
    scene.__name__: scene
    for scene in (ring, answer, end, ringing, missed, answered, event, broken, click, dialled, status, sync)
}

_NEXT: dict[str, dict[str, str]] = {
    "ringing": {"talking": "talking", "answered": "talking", "lost": "lost"},
    "talking": {"answered": "answered"},
}


def _told(session: Session, sent: list[dict[str, object]]) -> Played:
    return {"session": session.session_id, "sent": sent}


def _employees(asked: Mapping[str, Any]) -> list[int]:
    return [int(uis_id) for uis_id in asked.get("employees", (IVAN, PETR))]


def _contact(world: World, asked: Mapping[str, Any]) -> str:
    """Return the other side's number: the given one, else one nobody called from before."""
    return str(asked.get("contact") or next(world.contacts)).lstrip("+")


def _extension(world: World, user_id: int) -> str:
    with world.lock:
        return world.shop.extension_of(user_id) or ""


def _finished(world: World, asked: Mapping[str, Any], *, talks: list[tuple[int, int]]) -> Session:
    days_ago = float(asked.get("days_ago", 0))
    with world.lock:
        world.current = world.pbx.call(
            contact=_contact(world, asked),
            number=str(asked.get("number", NUMBER)),
            started_at=world.uis.now() - timedelta(days=days_ago) if days_ago else None,
            direction=str(asked.get("direction", "in")),
            rings=_employees(asked) if not talks else [],
            talks=talks,
            wait=int(asked.get("wait", 5)),
            recorded=bool(asked.get("recorded", True)),
        )
        return world.current


def _tell(
    courier: Courier, session: Session, asked: Mapping[str, Any], *, default: tuple[str, ...]
) -> list[dict[str, object]]:
    """Send the events asked for, at the times they happened; of `waiting` one for each phone."""
    sent = []
    for name in asked.get("events", default):
        rung = [leg.employee_id for leg in session.operator_legs] if name == "waiting" else [None]
        sent += [courier.notify(session, name, employee_id=uis_id) for uis_id in rung]
    return sent


def _stage_for(name: str, *, is_lost: bool) -> str:
    """Return how far a call must be for an event."""
    if name in {"incoming", "waiting", "outgoing"}:
        return "ringing"
    if name in {"talk_started", "talk_finished"}:
        return "talking"
    return "lost" if name == "lost_call" or is_lost else "answered"


def _at_stage(world: World, stage: str, name: str) -> Session:
    """Bring the current call, or a new one, to a stage."""
    session, direction = world.current, "out" if name == "outgoing" else "in"
    is_fit = polling.stage(session) == stage or stage in _NEXT.get(polling.stage(session), {})
    is_turned = name in {"incoming", "waiting", "outgoing", "lost_call"} and session and session.direction != direction
    if session is None or not is_fit or is_turned:
        people = [IVAN] if direction == "out" else [IVAN, PETR]
        session = polling.ring(world, people, contact=str(next(world.contacts)), direction=direction)
    while polling.stage(session) != stage:
        if _NEXT[polling.stage(session)][stage] == "talking":
            polling.answer(world, session, session.operator_legs[-1].employee_id or 0)
        else:
            polling.end(world, session)
    return session
