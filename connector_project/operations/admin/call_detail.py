"""The view model of a call's page: the call, the explanation of its state, and the possible actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from connector_project.core import phone_numbers
from connector_project.operations import explain
from connector_project.operations.admin.call_list import format_duration, state_label
from connector_project.operations.explain.data import PopupTiming, TimelineEntry
from telephony.calls import manual
from telephony.models import Call
from tenants import datetime_display


@dataclass(frozen=True)
class ShownEntry:
    """A timeline entry, with its time in the client's zone."""

    at: str
    entry: TimelineEntry


@dataclass(frozen=True)
class ShownPopup:
    """A pop-up, with its times in the client's zone."""

    popup: PopupTiming
    rang: str
    received: str
    sent: str
    accepted: str


@dataclass(frozen=True, kw_only=True)
class Page:
    call: Call
    state: str
    explanation: explain.Explanation
    details: Sequence[tuple[str, str]]
    timeline: Sequence[ShownEntry]
    popups: Sequence[ShownPopup]
    zone: str
    contact: str
    is_masked: bool
    may_retry: bool
    may_skip: bool
    links: Sequence[tuple[str, str]]


def build_page(call: Call, *, redactor: explain.Redactor, may_act: bool, now: datetime) -> Page:
    """Return the page of a call loaded by `Call.objects.with_related().with_history()`."""
    explanation = explain.explain(call, redactor=redactor, now=now)
    return Page(
        call=call,
        state=state_label(call),
        explanation=explanation,
        details=[(name, value) for name, value in _details(call, redactor) if value],
        timeline=[
            ShownEntry(datetime_display.format_with_seconds(call.tenant, entry.at, now=now), entry)
            for entry in explanation.timeline
        ],
        popups=[_popup(call, popup) for popup in explanation.popups],
        zone=call.tenant.time_zone,
        contact=redactor.number(call.contact),
        is_masked=not redactor.is_unmasked and redactor.number(call.contact) != call.contact,
        may_retry=may_act and manual.may_retry(call, now=now),
        may_skip=may_act and manual.may_skip(call, now=now),
        links=_links(call),
    )


def _details(call: Call, redactor: explain.Redactor) -> list[tuple[str, Any]]:
    return [
        (_("client"), call.tenant.name),
        (_("began"), datetime_display.format_full(call.tenant, call.started_at)),
        (_("direction"), call.get_direction_display()),
        (_("customer"), redactor.number(call.contact) or _("hidden number")),
        (_("our number"), phone_numbers.e164(call.number)),
        (_("owner"), str(call.employee or "")),
        (_("manager named by the CRM"), str(call.crm_user_id or "")),
        (_("how it ended"), _("missed") if call.is_missed else call.get_result_display()),
        (_("talk"), format_duration(call.talk_seconds) if call.talk_seconds else ""),
        (_("wait"), format_duration(call.wait_seconds) if call.wait_seconds else ""),
        (_("session in UIS"), str(call.session_id)),
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("source"), call.get_origin_display()),
        (_("attempts at this step"), str(call.attempts or "")),
    ]


def _links(call: Call) -> list[tuple[str, str]]:
    notifications = reverse("admin:telephony_notification_changelist")
    return [
        (_("Notifications of this call"), f"{notifications}?q={call.session_id}&tenant__id__exact={call.tenant_id}"),
        (_("The client's page"), reverse("admin:tenants_tenant_change", args=[call.tenant_id])),
    ]


def _popup(call: Call, popup: PopupTiming) -> ShownPopup:
    def shown(moment: datetime | None) -> str:
        return f"{moment.astimezone(call.tenant.zone):%H:%M:%S.%f}"[:-3] if moment else ""

    return ShownPopup(
        popup, shown(popup.ringing_at), shown(popup.received_at), shown(popup.sent_at), shown(popup.accepted_at)
    )
