"""Loads what pop-ups were decided by, and the rings whose pop-up the rules did not show, for a replay."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef

from connector_project.core import phone_numbers
from crm import call_facts
from crm.decisions import Decided, Loader, Status, known_then
from crm.models import Popup
from crm.popups import OF_THE_POPUP, rule_input
from telephony.calls import sources, stored_events
from telephony.calls.evidence import CallEvidence
from telephony.models import Notification
from telephony.uis.types import AnsweredEvent, CallEvent, Event, RingingEvent
from tenants.field_map.targets import Record
from tenants.models import RuleVersion, Tenant
from tenants.replay import NOT_ANSWERED, Outcome, Party, RingFacts, Version
from tenants.transfer_rules import RuleInput, SkipReason

BY_RULES = (Notification.Reason.RULE, Notification.Reason.ON_ANSWER)


def popups(tenant: Tenant) -> Any:
    """Return the pop-ups of a client as `load_popups` needs them."""
    return Popup.objects.filter(tenant=tenant).select_related("employee")


def rings(tenant: Tenant) -> Any:
    """Return the notifications whose pop-up the rules did not show: the last one of each call and employee."""
    suppressed = Notification.objects.filter(tenant=tenant, reason__in=BY_RULES, parsed_event__isnull=False)
    same = {"session_id": OuterRef("session_id"), "employee_uis_id": OuterRef("employee_uis_id")}
    later = suppressed.filter(**same, pk__gt=OuterRef("pk"))
    shown = Popup.objects.filter(
        tenant=tenant, session_id=OuterRef("session_id"), employee__uis_id=OuterRef("employee_uis_id")
    )
    fields = ("session_id", "employee_uis_id", "received_at", "reason", "detail", "parsed_event")
    return suppressed.exclude(Exists(later)).exclude(Exists(shown)).only(*fields)


def load_popups(loader: Loader, rows: Sequence[Popup]) -> list[Decided]:
    """Return the decision of each pop-up. Two queries."""
    loader.load_versions(popup.rule_version_id for popup in rows)
    answered = _answered(loader, (popup.session_id for popup in rows if popup.contact))
    return [_popup(loader, popup, (popup.session_id, popup.employee.uis_id) in answered) for popup in rows]


def load_rings(loader: Loader, rows: Sequence[Notification]) -> list[Decided]:
    """Return the decision of each ring without a pop-up. Two queries, and another one for new versions."""
    events = sources.events_by_session(loader.tenant, {row.session_id or 0 for row in rows})
    numbers = {int(number) for row in rows if (number := row.suppression[1]).isdigit()}
    versions = {one.number: one for one in RuleVersion.objects.filter(tenant=loader.tenant, number__in=numbers)}
    answered = _answered(loader, (row.session_id or 0 for row in rows))
    return [_ring(loader, row, events[row.session_id or 0], versions, answered) for row in rows]


def _popup(loader: Loader, popup: Popup, has_answered: bool) -> Decided:
    if not popup.contact:
        return Decided(pk=popup.pk, status=Status.GONE)
    decided_by, filled = popup.decided_by, popup.filled
    is_late, direction = decided_by.get("opened") == "answer", popup.direction
    store = decided_by.get("store") or filled.get("site", "")
    version = loader.version(popup.rule_version_id)
    static = loader.static.get(popup.number, {})
    known = call_facts.of_ring(
        popup.contact, popup.number, popup.employee, direction=direction, store=store, static=static
    )
    facts = known_then(Record.POPUP, version, known, decided_by.get("facts", {}), kept=OF_THE_POPUP)
    call = RuleInput(
        direction=direction,
        is_answered=is_late,
        is_internal=False,
        contact=popup.contact,
        number=popup.number,
        employees=(popup.employee.uis_id,),
    )
    found = RingFacts(
        call=call,
        choice=decided_by.get("choice", ""),
        has_answered=is_late or has_answered,
        party=Party(employee=popup.employee.uis_id, code=popup.code, user=popup.crm_user_id),
        facts=facts,
    )
    fields = {
        "direction": direction,
        "opens": "answer" if is_late else "ring",
        "phone": phone_numbers.e164(popup.contact),
        **filled,
        "code": popup.code,
        "user": str(popup.crm_user_id or ""),
    }
    sent = Outcome(fields={name: text for name, text in fields.items() if text})
    return Decided(pk=popup.pk, facts=found, version=version, sent=sent)


def _ring(
    loader: Loader,
    row: Notification,
    events: Sequence[CallEvent],
    versions: dict[int, RuleVersion],
    answered: set[tuple[int, int | None]],
) -> Decided:
    event, employee = stored_events.load(row.parsed_event), loader.staff.employees.get(row.employee_uis_id or 0)
    reason, number, own = row.suppression
    version = versions.get(int(number)) if number.isdigit() else None
    if employee is None or version is None or not isinstance(event, RingingEvent | AnsweredEvent):
        return Decided(pk=row.pk, status=Status.GONE)
    has_answered = isinstance(event, AnsweredEvent) or (row.session_id or 0, row.employee_uis_id) in answered
    if has_answered and not reason:  # It would have opened then, and did not for another reason than a rule.
        return Decided(pk=row.pk, status=Status.OPEN)
    own_numbers = loader.staff.own_numbers
    call = rule_input(event, own_numbers, partial(CallEvidence, [event, *events], None, own_numbers))
    if not call.contact and reason not in {SkipReason.HIDDEN_NUMBER, SkipReason.INTERNAL_OFF}:
        return Decided(pk=row.pk, status=Status.GONE)
    store = loader.stores.get(call.number, loader.tenant.crm.site)
    static = loader.static.get(call.number, {})
    found = RingFacts(
        call=call,
        choice=own,
        has_answered=has_answered,
        party=loader.party(employee),
        facts=call_facts.of_ring(
            call.contact, call.number, employee, direction=call.direction, store=store, static=static
        ),
    )
    decided_by = Version(version.value, version.rule_set)
    return Decided(pk=row.pk, facts=found, version=decided_by, sent=Outcome(skip_reason=reason or NOT_ANSWERED))


def _answered(loader: Loader, sessions: Iterable[int]) -> set[tuple[int, int | None]]:
    """Return the calls and employees of which UIS told that they answered. One query."""
    answers = Notification.objects.filter(
        tenant=loader.tenant, session_id__in={*sessions}, event=Event.TALK_STARTED, parsed_event__isnull=False
    )
    return {(session or 0, employee) for session, employee in answers.values_list("session_id", "employee_uis_id")}
