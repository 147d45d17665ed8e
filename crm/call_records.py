"""Builds retailCRM call records and call events from our calls and pop-ups."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from connector_project.core import phone_numbers
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.untrusted_input import parse_id
from crm.models import Popup
from crm.retailcrm.payloads import LONGEST_URL, CallEvent, CallRecord, EventType, Hangup
from telephony.models import Call
from telephony.recordings import links
from tenants.models import CrmConnection, VirtualNumber


def external_id(session_id: int) -> str:
    """Return a call's ID in the CRM, the same in pop-ups and history."""
    return f"uis-{session_id}"


def is_ours(external_id: str) -> bool:
    """Return whether an external ID was made by this connector, for any client of the account."""
    prefix, _, session_id = external_id.partition("-")
    return prefix == "uis" and parse_id(session_id) is not None


def event(kind: EventType, popups: Sequence[Popup], *, hangup: Hangup | None = None) -> CallEvent:
    """Return the event that opens or closes the pop-ups of one call."""
    first = popups[0]
    return CallEvent(
        type=kind,
        phone=phone_numbers.e164(first.contact),
        external_id=external_id(first.session_id),
        codes=tuple(popup.code for popup in popups if popup.code),
        user_ids=tuple(popup.crm_user_id for popup in popups if popup.crm_user_id),
        external_phone=phone_numbers.e164(first.number),
        site=site(first.tenant.crm, first.number),
        hangup=hangup,
    )


def records(batch: Sequence[Call], *, now: datetime) -> dict[int, CallRecord]:
    """Return the record of each call of one tenant by primary key. This issues the recording links in them."""
    connection, recording_urls = batch[0].tenant.crm, links.addresses(batch, longest=LONGEST_URL, now=now)
    sites = store_by_number(connection)
    return {
        call.pk: _record(
            call,
            connection=connection,
            site=sites.get(call.number, connection.site),
            recording_url=recording_urls.get(call.pk, ""),
        )
        for call in batch
    }


def upload_details(record: CallRecord, known: Collection[str]) -> dict[str, Any]:
    """Return the details for the call log: what was sent, with which link, and whether the CRM had it already."""
    details: dict[str, Any] = {
        "result": record.result,
        "code": record.code,
        "user": record.user_id,
        "site": record.site,
        "link": links.kind_of(record.recording_url) if record.recording_url else None,
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


def _record(call: Call, *, connection: CrmConnection, site: str, recording_url: str) -> CallRecord:
    employee = call.employee
    return CallRecord(
        external_id=external_id(call.session_id),
        started_at=call.started_at,
        direction=call.direction,
        phone=phone_numbers.e164(call.contact),
        result=call.result,
        talk_seconds=call.talk_seconds,
        wait_seconds=call.wait_seconds,
        code="" if call.crm_user_id else connection.code_of(employee),
        user_id=call.crm_user_id or (employee.crm_user_id if employee else None),
        external_phone=phone_numbers.e164(call.number),
        site=site,
        recording_url=recording_url,
    )
