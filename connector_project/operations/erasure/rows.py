"""Erases the number in one row, and ends what the row would still do with it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import models

from connector_project.core.encrypted_fields import EncryptedTextField, UndecryptableText
from connector_project.operations.erasure.columns import Table, is_pickled
from connector_project.operations.erasure.values import Number, erase_json, erase_list, erase_text, fitted
from crm.models import Command, Popup
from telephony.models import Call, Notification, State
from tenants.transfer_rules import SkipReason

Changes = dict[str, Any]


def changes(row: models.Model, table: Table, number: Number, *, now: datetime) -> Changes:
    """Return the changed columns of a row; {} if it does not hold the number."""
    found: Changes = {}
    for field in table.fields:
        before = getattr(row, field.attname)
        after = _erased(row, field, before, number)
        if after is not before and after != before:
            found[field.attname] = after
    if not found:
        return {}
    end = _ENDED.get(type(row))
    return {**found, **(end(row, found, now) if end else {})}


def _erased(row: models.Model, field: models.Field[Any, Any], before: Any, number: Number) -> Any:
    if before is None or before == "" or isinstance(before, UndecryptableText):
        return before
    if special := _SPECIAL.get((type(row)._meta.label, field.name)):
        return special(before, number)
    if isinstance(field, models.JSONField):
        return erase_json(before, number)
    if is_pickled(field):
        return erase_text(str(before), number) if number.is_in(str(before)) else before
    after = erase_text(before, number)
    return after if after == before or isinstance(field, EncryptedTextField) else fitted(field, after, before, number)


def _erased_session(before: str, number: Number) -> str:
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore()
    values = store.decode(before)
    after = erase_json(values, number)
    return erase_text(before, number) if after == values else store.encode(after)


def _erased_snapshot(before: str, number: Number) -> str:
    """Return what UIS told of the call without the number."""
    if not number.is_in(before):
        return before
    try:
        return json.dumps(erase_json(json.loads(before), number), ensure_ascii=False)
    except ValueError:
        return erase_text(before, number)


def _erased_rules(before: dict[str, Any], number: Number) -> dict[str, Any]:
    """Return the rules with the token in place of the number: the list goes on to recognise it.

    UIS ids are no numbers of people, whatever their digits.
    """
    lists = {name: {erase_list(entry, number) for entry in before.get(name, ())} for name in ("numbers", "contacts")}
    kept = {name: sorted(entries) for name, entries in lists.items() if name in before}
    kept |= {name: value for name, value in before.items() if name == "employees"}
    others: dict[str, Any] = erase_json({name: one for name, one in before.items() if name not in kept}, number)
    return others | kept


_SPECIAL: Mapping[tuple[str, str], Callable[[Any, Number], Any]] = {
    ("sessions.Session", "session_data"): _erased_session,
    ("telephony.Call", "uis_snapshot"): _erased_snapshot,
    ("tenants.RuleDraft", "contacts"): erase_list,
    ("tenants.RuleVersion", "rules"): _erased_rules,
    ("operations.RulePreview", "rules"): _erased_rules,
    # Encrypted, and deleted when the erasure is done.
    ("operations.Erasure", "number"): lambda before, _number: before,
}


def _end_call(call: Call, found: Mapping[str, Any], now: datetime) -> Changes:
    """The call ignores what is told of it later. One on its way to the CRM is skipped: a worker loses its claim."""
    if not found.keys() & {"contact", "uis_snapshot"}:
        return {}
    if call.is_done:
        return {"is_erased": True}
    call.move_to(State.SKIPPED, now=now)
    names = ("state", "reason", "detail", "failed_at", "attempts", "first_attempt_at", *_LEASE)
    return {name: getattr(call, name) for name in names} | {"is_erased": True, "skip_reason": SkipReason.ERASED}


def _end_notification(stored: Notification, _found: Mapping[str, Any], _now: datetime) -> Changes:
    if stored.next_attempt_at is None:
        return {}
    stored.close(Notification.Outcome.DROPPED, Notification.Reason.ERASED)
    return {name: getattr(stored, name) for name in ("outcome", "reason", "detail", *_LEASE)}


def _end_command(command: Command, found: Mapping[str, Any], now: datetime) -> Changes:
    cleared: Changes = {"extension": ""} if "contact" in found else {}
    if command.next_attempt_at is None:
        return cleared
    command.release(None)
    ended = cleared | {"state": Command.State.FAILED, "reason": Command.Reason.ERASED, "finished_at": now}
    return ended | {name: getattr(command, name) for name in _LEASE}


def _end_popup(popup: Popup, _found: Mapping[str, Any], now: datetime) -> Changes:
    """No end of the call is sent for it: a pop-up disappears by itself."""
    is_open = popup.state in {Popup.State.OPENING, Popup.State.OPEN}
    return {"state": Popup.State.CLOSED, "closed_at": now} if is_open else {}


_LEASE = ("next_attempt_at", "claim_token", "claimed_by", "lost_leases")
_ENDED: Mapping[type[models.Model], Callable[[Any, Mapping[str, Any], datetime], Changes]] = {
    Call: _end_call,
    Notification: _end_notification,
    Command: _end_command,
    Popup: _end_popup,
}
