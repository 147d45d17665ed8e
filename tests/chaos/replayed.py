"""Replays all stored decisions of a client by their versions, and compares them with what the CRM has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from connector_project.operations import replays
from crm.decisions import Decided, Loader, Status
from telephony.models import Call, CallLogEntry, State, Step
from tenants.models import Tenant
from tenants.replay import Outcome
from tests.chaos.tenants import ChaosTenant

PERIOD = {"since": datetime(2020, 1, 1, tzinfo=UTC), "till": datetime(2040, 1, 1, tzinfo=UTC)}


def differences(tenant: ChaosTenant) -> Iterator[str]:
    """Yield what differs between a replay and what was sent, as we have stored it and as the CRM has it."""
    loader = Loader(Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.row.pk))
    for kind in replays.KINDS:
        for one in replays.load_each(loader, kind, **PERIOD):
            if found := replays.unfaithful(loader, one):
                changed = [change.name for change in found.changes] or (found.before, found.after)
                yield f"{kind} {one.pk}: its replay differs from what was sent: {changed}"
            elif kind == "call" and one.status == Status.DECIDED:
                yield from _record(loader, one, tenant)


def repeated(tenant: ChaosTenant) -> set[int]:
    """Return the sessions that the CRM had already when they were uploaded: an earlier upload went unnoticed."""
    entries = CallLogEntry.objects.filter(call__tenant=tenant.row, step=Step.UPLOAD, details__known=True)
    return set(entries.values_list("call__session_id", flat=True))


def _record(loader: Loader, one: Decided, tenant: ChaosTenant) -> Iterator[str]:
    """Compare the replay of an uploaded call with its record; of a repeated one any version may have made it."""
    call = Call.objects.defer("uis_snapshot", "recording_url").get(pk=one.pk)
    if call.state != State.UPLOADED or one.version is None:
        return
    record = next((sent for sent in tenant.crm.calls if sent.get("externalId") == f"uis-{call.session_id}"), None)
    if record is None or call.session_id in repeated(tenant):
        return  # Whether it must be there is judged elsewhere; how the first one of several was made is not known.
    expected, stored = _expected(replays.replay(loader, one, one.version)), {name: record.get(name) for name in _NAMES}
    for name in _NAMES:
        if expected[name] != stored[name]:
            yield f"{call.session_id}: {name} of its replay is {expected[name]!r}, the CRM has {stored[name]!r}"
    if bool(record.get("recordUrl")) != ("recording_url" in replays.replay(loader, one, one.version).fields):
        yield f"{call.session_id}: its replay and the CRM's record differ in whether there is a recording"


_NAMES = ("type", "phone", "externalPhone", "code", "userId", "site", "source", "duration")


def _expected(outcome: Outcome) -> dict[str, Any]:
    fields = outcome.fields
    source = {name.partition(".")[2]: text for name, text in fields.items() if name.startswith("source.")}
    return {
        "type": fields.get("direction"),
        "phone": fields.get("phone"),
        "externalPhone": fields.get("external_phone"),
        "code": fields.get("code"),
        "userId": int(fields["user"]) if "user" in fields else None,
        "site": fields.get("site"),
        "source": source or None,
        "duration": int(fields.get("talk_seconds", 0)),
    }
