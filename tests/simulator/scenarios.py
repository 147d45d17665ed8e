"""What the simulator can play: single webhooks, parts of a call, whole calls, and actions of CRM users."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.fakes.uis import EVENTS, Session
from tests.simulator import live_call
from tests.simulator.fixtures import IVAN, NUMBER, ORIGIN, PETR, BadRequest, SimulatedTenant
from tests.simulator.webhook_sender import FORMS, Send, WebhookSender, over_http

Result = dict[str, Any]
STATUSES = ("free", "busy", "dinner", "break")


def play(tenant: SimulatedTenant, params: Mapping[str, Any], *, send: Send = over_http) -> Result:
    """Play one scene and return what was sent. Raises BadRequest."""
    scene = SCENES.get(str(params.get("scene")))
    if scene is None:
        raise BadRequest(f"scene must be one of {', '.join(SCENES)}")
    form = str(params.get("form", FORMS[0]))
    if form not in FORMS:
        raise BadRequest(f"form must be one of {', '.join(FORMS)}")
    try:
        return scene(WebhookSender(tenant, send, form), params)
    except (ValueError, TypeError, KeyError) as exc:
        raise BadRequest(f"{params.get('scene')}: {exc}") from exc


def ring(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A call comes in: {"employees": [...], "contact": "7…"}. One notification for each phone that rings."""
    tenant = sender.tenant
    with tenant.lock:
        session = live_call.ring(tenant, _employees(params), contact=_contact(tenant, params))
        employee_ids = [leg.employee_id for leg in session.operator_legs]
    sent = [sender.notify(session, "incoming", at=tenant.uis.now())]
    sent += [sender.notify(session, "waiting", employee_id=uis_id, at=tenant.uis.now()) for uis_id in employee_ids]
    return {"session": session.session_id, "sent": sent}


def answer(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """One of the employees whose phones ring answers: {"session": n, "employee": n}."""
    tenant = sender.tenant
    with tenant.lock:
        session = live_call.find(tenant, params.get("session"))
        uis_id = int(params.get("employee") or session.operator_legs[-1].employee_id or 0)
        live_call.answer(tenant, session, uis_id)
    return _result(session, [sender.notify(session, "talk_started", employee_id=uis_id, at=tenant.uis.now())])


def end(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """The call ends, also a click-to-call: {"session": n, "talk": seconds, "recorded": true}."""
    tenant = sender.tenant
    with tenant.lock:
        session = live_call.find(tenant, params.get("session"))
        live_call.end(tenant, session, talk=params.get("talk"), is_recorded=bool(params.get("recorded", True)))
        is_lost_call = session.is_lost and session.direction == "in"
    events = ["talk_finished"] * bool(session.talk_legs) + ["call_end"] + ["lost_call"] * is_lost_call
    sent = [sender.notify(session, event, at=tenant.uis.now()) for event in events]
    if session.records:
        sent.append(sender.notify(session, "recorded", at=tenant.uis.now()))
    return _result(session, sent)


def ringing(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A whole call in real time, with a pause after each step: {"pause": 1.5} and the parameters of the steps."""
    pause = float(params.get("pause", 1.5))
    ringing_result = ring(sender, params)
    step_params = {**params, "session": ringing_result["session"]}
    threading.Event().wait(pause)
    answered_result = answer(sender, step_params)
    threading.Event().wait(pause)
    return {
        "session": ringing_result["session"],
        "sent": [*ringing_result["sent"], *answered_result["sent"], *end(sender, step_params)["sent"]],
    }


def missed(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A finished call that nobody answered: {"employees": [...], "wait": 5, "events": ["call_end"], "days_ago": 0}."""
    session = _finished(sender.tenant, params, talks=[])
    return _result(
        session, _send_events(sender, session, params, default=("incoming", "waiting", "call_end", "lost_call"))
    )


def answered(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A finished, answered call: {"employee": n, "talk": 42, "recorded": true, "visible_after": 0, "record_after": 0}.

    The two delays are the seconds until UIS's reports show the call and its recording; `talks` is a list of
    [employee, seconds] for a transferred call.
    """
    tenant = sender.tenant
    default_talks = [(params.get("employee", IVAN), params.get("talk", 42))]
    session = _finished(
        tenant,
        params,
        talks=[(int(employee), int(seconds)) for employee, seconds in params.get("talks", default_talks)],
    )
    now = tenant.uis.now()
    session.visible_at = now + timedelta(seconds=float(params.get("visible_after", 0)))
    session.records_at = now + timedelta(seconds=float(params.get("record_after", 0)))
    recorded = ("recorded",) if session.records and not params.get("record_after") else ()
    return _result(session, _send_events(sender, session, params, default=("call_end", *recorded)))


def event(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """One webhook: {"event": "waiting", "is_lost": false}. The current call is advanced as far as the event needs."""
    name = str(params.get("event"))
    if name not in EVENTS:
        raise BadRequest(f"event must be one of {', '.join(EVENTS)}")
    tenant = sender.tenant
    with tenant.lock:
        session = _call_in_phase(tenant, _phase_for(name, is_lost=bool(params.get("is_lost"))), name)
    employee_ids = [leg.employee_id for leg in session.operator_legs] if name == "waiting" else [None]
    sent = [sender.notify(session, name, employee_id=uis_id, at=tenant.uis.now()) for uis_id in employee_ids]
    return _result(session, sent)


def broken(sender: WebhookSender, _params: Mapping[str, Any]) -> Result:
    """A notification from an invalid template."""
    return {"sent": [sender.send_broken_template()]}


def click(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A manager clicks a number in the CRM: {"user": 27, "contact": "7…"}. `end` then ends the call."""
    tenant = sender.tenant
    user_id = int(params.get("user", 27))
    phone = f"+{_contact(tenant, params)}"
    query = {"code": _extension(tenant, user_id), "phone": phone, "userId": str(user_id)}
    return {"phone": phone, "sent": [sender.send_callback("makeCallUrl", query)]}


def dialled(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """UIS notifies about a call started by a click: {"session": n}, or the latest one."""
    tenant = sender.tenant
    with tenant.lock:
        started = [one for one in tenant.pbx.sessions.values() if one.source == "callapi" and one.is_running]
        session = live_call.find(tenant, params["session"]) if params.get("session") else next(reversed(started), None)
        if session is None:
            raise BadRequest("no running call was started by a click")
        tenant.current = session
    return _result(session, [sender.notify(session, "outgoing", at=tenant.uis.now())])


def status(sender: WebhookSender, params: Mapping[str, Any]) -> Result:
    """A manager changes their status in the CRM: {"user": 27, "status": "dinner"}."""
    tenant = sender.tenant
    user_id, new_status = int(params.get("user", 27)), str(params.get("status", "dinner"))
    with tenant.lock:
        if user_id not in tenant.crm_account.users or new_status not in STATUSES:
            raise BadRequest(f"unknown user {user_id} or status {new_status!r}; statuses are {', '.join(STATUSES)}")
        tenant.crm_account.users[user_id]["status"] = new_status
    query = {"userId": str(user_id), "code": _extension(tenant, user_id), "status": new_status}
    return {"sent": [sender.send_callback("changeUserStatusUrl", query)]}


def sync(sender: WebhookSender, _params: Mapping[str, Any]) -> Result:
    """A new employee is added in both systems; the connector finds it at its next sync."""
    tenant = sender.tenant
    with tenant.lock:
        number = len(tenant.pbx.employees) + 1
        uis_id, user_id = IVAN + number - 1, max(tenant.crm_account.users) + 1
        extension, email = str(100 + number), f"employee-{number}@example.com"
        phones = [f"7999100{number:04}"]
        tenant.pbx.add_employee(uis_id, f"Новиков Олег {number}", extension=extension, email=email, numbers=phones)
        tenant.crm_account.add_user(user_id, first_name="Олег", last_name="Новиков", email=email)
    return {"employee": uis_id, "user": user_id, "extension": extension, "sent": []}


SCENES: dict[str, Callable[[WebhookSender, Mapping[str, Any]], Result]] = {
    scene.__name__: scene
    for scene in (ring, answer, end, ringing, missed, answered, event, broken, click, dialled, status, sync)
}

_NEXT_PHASE: dict[str, dict[str, str]] = {
    "ringing": {"talking": "talking", "answered": "talking", "lost": "lost"},
    "talking": {"answered": "answered"},
}


def _result(session: Session, sent: list[dict[str, object]]) -> Result:
    return {"session": session.session_id, "sent": sent}


def _employees(params: Mapping[str, Any]) -> list[int]:
    return [int(uis_id) for uis_id in params.get("employees", (IVAN, PETR))]


def _contact(tenant: SimulatedTenant, params: Mapping[str, Any]) -> str:
    """Return the contact's number: the given one, else a new one."""
    return str(params.get("contact") or next(tenant.contacts)).lstrip("+")


def _extension(tenant: SimulatedTenant, user_id: int) -> str:
    with tenant.lock:
        return tenant.crm_account.extension_of(user_id) or ""


def _finished(tenant: SimulatedTenant, params: Mapping[str, Any], *, talks: list[tuple[int, int]]) -> Session:
    days_ago = float(params.get("days_ago", 0))
    with tenant.lock:
        tenant.current = tenant.pbx.call(
            contact=_contact(tenant, params),
            number=str(params.get("number", NUMBER)),
            started_at=tenant.uis.now() - timedelta(days=days_ago) if days_ago else None,
            direction=str(params.get("direction", "in")),
            rings=_employees(params) if not talks else [],
            talks=talks,
            wait=int(params.get("wait", 5)),
            recorded=bool(params.get("recorded", True)),
            **ORIGIN,
        )
        return tenant.current


def _send_events(
    sender: WebhookSender, session: Session, params: Mapping[str, Any], *, default: tuple[str, ...]
) -> list[dict[str, object]]:
    """Send the requested events with the times at which they happened; `waiting` once for each phone."""
    sent = []
    for name in params.get("events", default):
        employee_ids = [leg.employee_id for leg in session.operator_legs] if name == "waiting" else [None]
        sent += [sender.notify(session, name, employee_id=uis_id) for uis_id in employee_ids]
    return sent


def _phase_for(name: str, *, is_lost: bool) -> str:
    """Return the phase that a call must have reached for an event."""
    if name in {"incoming", "waiting", "outgoing"}:
        return "ringing"
    if name in {"talk_started", "talk_finished"}:
        return "talking"
    return "lost" if name == "lost_call" or is_lost else "answered"


def _call_in_phase(tenant: SimulatedTenant, phase: str, name: str) -> Session:
    """Advance the current call, or a new one, to a phase."""
    session, direction = tenant.current, "out" if name == "outgoing" else "in"
    is_reachable = live_call.phase(session) == phase or phase in _NEXT_PHASE.get(live_call.phase(session), {})
    is_other_direction = (
        name in {"incoming", "waiting", "outgoing", "lost_call"} and session and session.direction != direction
    )
    if session is None or not is_reachable or is_other_direction:
        employees = [IVAN] if direction == "out" else [IVAN, PETR]
        session = live_call.ring(tenant, employees, contact=str(next(tenant.contacts)), direction=direction)
    while live_call.phase(session) != phase:
        if _NEXT_PHASE[live_call.phase(session)][phase] == "talking":
            live_call.answer(tenant, session, session.operator_legs[-1].employee_id or 0)
        else:
            live_call.end(tenant, session)
    return session
