"""Builds retailCRM call records and call events from our calls and pop-ups."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector_project.core import phone_numbers
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.untrusted_input import parse_id
from crm import call_facts
from crm.models import Popup
from crm.retailcrm.payloads import (
    LONGEST_URL,
    CallEvent,
    CallRecord,
    Campaign,
    EventType,
    Hangup,
    Source,
    WebAnalytics,
)
from telephony.calls import report_facts
from telephony.models import Call
from telephony.recordings import links
from tenants.field_map.apply import Applied, applied
from tenants.field_map.facts import Fact
from tenants.field_map.targets import Record
from tenants.models import CrmConnection, VirtualNumber

SOURCE = "source."  # before the parts of the advertising source
_OWN_DETAILS = {"phone", "site", "recording_url"}  # fields that the log has anyway
# Columns of the call that stay what they are when it is uploaded; of a recording the kind of its link is kept.
OF_THE_CALL = {Fact.CONTACT, Fact.NUMBER, Fact.DIRECTION, Fact.RECORDING}


def external_id(session_id: int) -> str:
    """Return a call's ID in the CRM, the same in pop-ups and history."""
    return f"uis-{session_id}"


def is_ours(external_id: str) -> bool:
    """Return whether an external ID was made by this connector, for any client of the account."""
    prefix, _, session_id = external_id.partition("-")
    return prefix == "uis" and parse_id(session_id) is not None


def event(kind: EventType, popups: Sequence[Popup], *, hangup: Hangup | None = None) -> CallEvent:
    """Return the event that opens or closes the pop-ups of one call, with what each was opened with."""
    first = popups[0]
    campaign = first.filled.get("campaign", "")
    return CallEvent(
        type=kind,
        phone=phone_numbers.e164(first.contact),
        external_id=external_id(first.session_id),
        codes=tuple(popup.code for popup in popups if popup.code),
        user_ids=tuple(popup.crm_user_id for popup in popups if popup.crm_user_id),
        external_phone=first.filled.get("external_phone", ""),
        site=first.filled.get("site", ""),
        hangup=hangup,
        web_analytics=WebAnalytics(campaign=Campaign(name=campaign)) if campaign and hangup is None else None,
    )


@dataclass(frozen=True)
class Prepared:
    """A record, and what it was made of that no column of the call keeps, or that may change in it."""

    record: CallRecord
    made_of: Mapping[str, Any]


def records(batch: Sequence[Call], *, now: datetime) -> dict[int, Prepared]:
    """Return the record of each call of one tenant by primary key. This issues the recording links in them."""
    tenant, recordings = batch[0].tenant, links.choose(batch, longest=LONGEST_URL, now=now)
    sites, salt, field_map = store_by_number(tenant.crm), call_facts.salt_of(tenant), tenant.rules.field_map
    needed = field_map.needs(Record.UPLOAD) if field_map.rows else frozenset()
    read, awaited = needed - OF_THE_CALL, report_facts.needed_facts(tenant.rules)
    found = {}
    for call in batch:
        store = sites.get(call.number, tenant.crm.site)
        recording = recordings[call.pk]
        facts = call_facts.of_call(call, store=store, recording_url=recording.url, needed=needed)
        filled = applied(field_map, Record.UPLOAD, facts, salt=salt)
        made_of = _made_of(call, recording, store, filled)
        made_of["facts"] = {str(fact): value for fact, value in facts.items() if fact in read}
        made_of["missing"] = sorted(report_facts.missing(call, awaited)) if awaited else []
        found[call.pk] = Prepared(_record(call, tenant.crm, filled), made_of)
    return found


def _made_of(call: Call, recording: links.Chosen, store: str, filled: Applied) -> dict[str, Any]:
    """Return whose call it is, its recording, and what the rows of the field map filled.

    What a row has made of the contact's number is not kept: it is made again as long as the call has the number.
    """
    rows = {name: path for name, path in filled.paths.items() if path.row and name not in _OWN_DETAILS}
    return {
        "employee": call.employee.uis_id if call.employee else None,
        "recording": recording.recording.value,
        "link": recording.kind if "recording_url" in filled.values else None,
        "early": recording.is_early,
        "kept_link": recording.is_kept,
        "store": store if store != filled.values.get("site", "") else "",
        "filled": {name: filled.values.get(name, "") for name, path in rows.items() if path.fact != Fact.CONTACT},
        "unkept": [name for name, path in rows.items() if path.fact == Fact.CONTACT],
    }


def upload_details(prepared: Prepared, known: Collection[str]) -> dict[str, Any]:
    """Return the details for the call log: what was sent, with which link, and whether the CRM had it already.

    With them, the version of the rules and the call's own columns the record can be made again.
    """
    record = prepared.record
    details: dict[str, Any] = {
        "result": record.result,
        "code": record.code,
        "user": record.user_id,
        "site": record.site,
        **prepared.made_of,
    }
    return {name: value for name, value in details.items() if value} | {"known": record.external_id in known}


_sites: CompiledSelect[tuple[str, str]] = CompiledSelect(
    lambda given: (
        VirtualNumber.objects.filter(tenant=given.integer("tenant"))
        .exclude(site="")
        .order_by()
        .values_list("number", "site")
    )
)


def store_by_number(connection: CrmConnection) -> dict[str, str]:
    """Return the store of each virtual number."""
    return dict(_sites.fetch(tenant=connection.tenant_id))


def site(connection: CrmConnection, number: str) -> str:
    """Return the store of a number, or the connection's default."""
    return store_by_number(connection).get(number, connection.site)


def _record(call: Call, connection: CrmConnection, filled: Applied) -> CallRecord:
    employee, values = call.employee, filled.values
    return CallRecord(
        external_id=external_id(call.session_id),
        started_at=call.started_at,
        direction=call.direction,
        phone=values["phone"],
        result=call.result,
        talk_seconds=call.talk_seconds,
        wait_seconds=call.wait_seconds,
        code="" if call.crm_user_id else connection.code_of(employee),
        user_id=call.crm_user_id or (employee.crm_user_id if employee else None),
        external_phone=values.get("external_phone", ""),
        site=values.get("site", ""),
        recording_url=values.get("recording_url", ""),
        source=_source(values),
        client_id=values.get("client_id", ""),
    )


def _source(values: Mapping[str, str]) -> Source | None:
    parts = {name.removeprefix(SOURCE): value for name, value in values.items() if name.startswith(SOURCE)}
    return Source(**parts) if parts else None
