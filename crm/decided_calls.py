"""Loads what stored calls were decided by, for a replay: a fixed number of queries for any number of calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from connector_project.core import phone_numbers
from connector_project.core.encrypted_fields import Undecryptable
from crm import call_facts
from crm.call_records import OF_THE_CALL
from crm.decisions import Decided, Loader, Status, known_then
from crm.retailcrm.payloads import LONGEST_URL
from telephony.calls import sources
from telephony.calls.sources import Sources
from telephony.models import Call, CallLogEntry, State, Step
from telephony.recordings import links
from tenants.decisions import Recording
from tenants.field_map.facts import Fact, Facts, Value
from tenants.field_map.targets import Record
from tenants.models import Tenant
from tenants.replay import FIXED_REASONS, NOBODY, CallFacts, Outcome, Party, Version, applied_rule
from tenants.rules import MissedOwner
from tenants.transfer_rules import RuleInput, SkipReason

_DEFERRED = ("uis_snapshot",)  # decrypted only for those whose owner is resolved anew
_DONE = (State.UPLOADED, State.SKIPPED)


def load(loader: Loader, calls: Sequence[Call]) -> list[Decided]:
    """Return the decision of each call. Five queries at most, and three more for the first calls of a loader."""
    done = [call for call in calls if call.state in _DONE and not _is_erased(call)]
    uploads, skips = _details(done)
    loader.load_versions(call.rule_version_id for call in done)
    known = {call.pk: found for call in done if (found := _stored(call, uploads, skips)) is not None}
    for call in done:
        call.tenant = loader.tenant
    evidence = _evidence_anew(loader, [call for call in done if call.pk in known])
    return [
        _readable(loader, call, known[call.pk], evidence)
        if call.pk in known
        else Decided(pk=call.pk, status=Status.OPEN if call.state not in _DONE else Status.GONE)
        for call in calls
    ]


def _readable(loader: Loader, call: Call, entry: CallLogEntry, evidence: Sources | None) -> Decided:
    """Return the decision of a call; one whose evidence cannot be read is not replayed, and stops no other."""
    try:
        return _decided(loader, call, entry, evidence)
    except (Undecryptable, ValueError):
        return Decided(pk=call.pk, status=Status.GONE)


def rows(tenant: Tenant) -> Any:
    """Return the calls of a client as `load` needs them."""
    return Call.objects.filter(tenant=tenant).select_related("employee").defer(*_DEFERRED)


def _is_erased(call: Call) -> bool:
    return call.is_erased or call.skip_reason == SkipReason.ERASED


def _details(calls: Sequence[Call]) -> tuple[dict[int, CallLogEntry], dict[int, CallLogEntry]]:
    """Return the entry of the upload, and of the skip, of each call. One query."""
    steps = (Step.UPLOAD, Step.EVALUATE, Step.FETCH_LEGS)
    entries = CallLogEntry.objects.filter(call__in=[call.pk for call in calls], step__in=steps, reason="")
    uploads, skips = dict[int, CallLogEntry](), dict[int, CallLogEntry]()
    for entry in entries.order_by("at", "pk").only("call_id", "at", "details"):
        if "known" in entry.details:
            uploads[entry.call_id] = entry
        elif "rule" in entry.details:
            skips[entry.call_id] = entry
    return uploads, skips


def _stored(call: Call, uploads: Mapping[int, CallLogEntry], skips: Mapping[int, CallLogEntry]) -> CallLogEntry | None:
    """Return what the log has of the decision; None: of an upload it has nothing."""
    if call.state == State.UPLOADED:
        return uploads.get(call.pk)
    entry = skips.get(call.pk)
    is_of_it = entry is not None and entry.details["rule"] == call.skip_reason
    return entry if is_of_it else CallLogEntry(call=call, at=call.ended_at)


def _decided(loader: Loader, call: Call, entry: CallLogEntry, evidence: Sources | None) -> Decided:
    details = entry.details
    is_uploaded = call.state == State.UPLOADED
    stored: dict[str, Value] = details.get("facts", {})
    version = loader.version(call.rule_version_id)
    store = stored.get(Fact.STORE) or details.get("store") or details.get("site", "")
    if not is_uploaded:
        store = loader.stores.get(call.number, loader.tenant.crm.site)
    known = call_facts.of_call(call, store=str(store), recording_url="", needed=call_facts.ATTRIBUTION)
    facts = known_then(Record.UPLOAD, version, known, stored, kept=OF_THE_CALL) if is_uploaded else dict(known)
    facts.pop(Fact.EMPLOYEE, None)
    found = CallFacts(
        call=_rule_input(call, facts),
        is_lost=call.is_lost is True,
        is_missed=call.is_missed,
        ended_at=call.ended_at,
        decided_at=entry.at if is_uploaded else call.ended_at,
        columns=_columns(call, details),
        facts=facts,
        recording=Recording(details.get("recording", ""))
        if is_uploaded
        else links.recording_of(call, longest=LONGEST_URL),
        is_early=bool(details.get("early")),
        has_kept_link=bool(details.get("kept_link")),
        rung=tuple(call.rung_employee_ids),
        owners=_owners(loader, call, details, version, evidence),
        fixed_reason=call.skip_reason if call.skip_reason in FIXED_REASONS else "",
        is_complete=is_uploaded or call.has_legs or call.is_lost is True,
    )
    sent = _sent(call, details) if is_uploaded else Outcome(skip_reason=call.skip_reason)
    return Decided(pk=call.pk, facts=found, version=version, sent=sent, unkept=tuple(details.get("unkept", ())))


def _rule_input(call: Call, facts: Facts) -> RuleInput:
    return RuleInput(
        direction=call.direction,
        is_answered=call.is_answered,
        is_internal=call.is_internal,
        contact=call.contact,
        number=call.number,
        is_too_old=call.skip_reason == SkipReason.EXPIRED,
        source=str(facts.get(Fact.SOURCE, "")),
        customer=str(facts.get(Fact.CUSTOMER, "")),
    )


def _columns(call: Call, details: Mapping[str, Any]) -> dict[str, str]:
    return {
        "direction": call.direction,
        "result": details.get("result", call.result),
        "talk_seconds": str(call.talk_seconds),
        "wait_seconds": str(call.wait_seconds),
        "started_at": call.started_at.isoformat(),
    }


def _sent(call: Call, details: Mapping[str, Any]) -> Outcome:
    fields = {
        **_columns(call, details),
        "phone": phone_numbers.e164(call.contact),
        "external_phone": phone_numbers.e164(call.number),
        "site": details.get("site", ""),
        "recording_url": details.get("link") or "",
        "code": details.get("code", ""),
        "user": str(details.get("user") or ""),
        **details.get("filled", {}),
    }
    return Outcome(fields={name: text for name, text in fields.items() if text})


def _owners(
    loader: Loader, call: Call, details: Mapping[str, Any], version: Version, evidence: Sources | None
) -> dict[str, Party]:
    """Return the owner by the rule that was applied, and by that of the draft."""
    rule = _rule(version, call)
    last = _current(loader, details.get("employee"), call)
    if call.state == State.UPLOADED:
        name = str(details.get("facts", {}).get(Fact.EMPLOYEE, last.name))
        sent = Party(employee=last.employee, name=name, code=details.get("code", ""), user=details.get("user"))
        found = {rule: NOBODY if rule == MissedOwner.NOBODY else sent}
        if rule == MissedOwner.RESPONSIBLE:
            found[MissedOwner.LAST_RUNG] = last if call.crm_user_id else sent
    else:
        found = {MissedOwner.LAST_RUNG if rule == MissedOwner.RESPONSIBLE else rule: last}
    if loader.draft is None:
        return found
    other = _resolvable(_rule(loader.draft, call))
    if other == MissedOwner.NOBODY:
        return {other: NOBODY} | found
    if other not in found:
        party = loader.party(evidence.resolve(call, rules=loader.draft.rules)[1] if evidence else None)
        found[other] = found[rule] if rule in found and found[rule].employee == party.employee else party
    return found


def _current(loader: Loader, owner: int | None, call: Call) -> Party:
    """Return the employee who owned a call as they are known now."""
    employee = call.employee
    if owner is not None and (employee is None or employee.uis_id != owner):
        employee = loader.staff.employees.get(owner)
    return loader.party(employee) if employee else Party(employee=owner)


def _rule(version: Version, call: Call) -> str:
    return applied_rule(version.rules, is_lost=call.is_lost is True, is_missed=call.is_missed)


def _resolvable(rule: str) -> str:
    """Return the rule by which an owner is known without asking the CRM."""
    return MissedOwner.LAST_RUNG if rule == MissedOwner.RESPONSIBLE else rule


def _evidence_anew(loader: Loader, calls: Sequence[Call]) -> Sources | None:
    """Return the stored evidence of the calls whose owner the draft chooses by another rule; None if it is none."""
    if loader.draft is None:
        return None
    draft = loader.draft
    others = [
        call
        for call in calls
        if (rule := _resolvable(_rule(draft, call))) != MissedOwner.NOBODY
        and rule != _resolvable(_rule(loader.version(call.rule_version_id), call))
    ]
    if not others:
        return None
    snapshots = dict(Call.objects.filter(pk__in=[call.pk for call in others]).values_list("pk", "uis_snapshot"))
    for call in others:
        call.uis_snapshot = snapshots.get(call.pk, "")
    return Sources(sources.events_by_session(loader.tenant, [call.session_id for call in others]), loader.staff)
