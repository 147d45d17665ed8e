"""The page of one call, ready to be shown: what it is, why it stands where it stands, and what can be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from connector_project import phones
from crm import why
from crm.why.types import CardTimes, Line
from telephony import mending
from telephony.admin.calls import length, state_word
from telephony.models import Call
from tenants import clock


@dataclass(frozen=True)
class ShownLine:
    """One line of the time line, and by the client's clock when it was."""

    at: str
    line: Line


@dataclass(frozen=True)
class ShownCard:
    """One card, and its moments by the client's clock."""

    card: CardTimes
    rang: str
    received: str
    sent: str
    accepted: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of it."""

    call: Call
    state: str
    found: why.Explanation
    facts: Sequence[tuple[str, str]]
    lines: Sequence[ShownLine]
    cards: Sequence[ShownCard]
    zone: str
    contact: str
    is_masked: bool
    may_try_again: bool
    may_skip: bool
    links: Sequence[tuple[str, str]]


def of(call: Call, *, eyes: why.Eyes, may_act: bool, now: datetime) -> Page:
    """Return the page of a call that came out of `Call.objects.whole().with_history()`."""
    found = why.explain(call, eyes=eyes, now=now)
    return Page(
        call=call,
        state=state_word(call),
        found=found,
        facts=[(name, value) for name, value in _facts(call, eyes) if value],
        lines=[ShownLine(clock.exactly(call.tenant, line.at, now=now), line) for line in found.lines],
        cards=[_card(call, card, now=now) for card in found.cards],
        zone=call.tenant.time_zone,
        contact=eyes.number(call.contact),
        is_masked=not eyes.is_whole and eyes.number(call.contact) != call.contact,
        may_try_again=may_act and mending.may_try_again(call, now=now),
        may_skip=may_act and mending.may_skip(call, now=now),
        links=_links(call),
    )


def _facts(call: Call, eyes: why.Eyes) -> list[tuple[str, Any]]:
    return [
        (_("client"), call.tenant.name),
        (_("began"), clock.in_full(call.tenant, call.started_at)),
        (_("direction"), call.get_direction_display()),
        (_("customer"), eyes.number(call.contact) or _("hidden number")),
        (_("our number"), phones.e164(call.number)),
        (_("whose call"), str(call.employee or "")),
        (_("manager named by the CRM"), str(call.crm_user_id or "")),
        (_("how it ended"), _("missed") if call.is_missed else call.get_result_display()),
        (_("talk"), length(call.talk_seconds) if call.talk_seconds else ""),
        (_("wait"), length(call.wait_seconds) if call.wait_seconds else ""),
        (_("session in UIS"), str(call.session_id)),
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("how we know"), call.get_origin_display()),
        (_("tries of this step"), str(call.attempts or "")),
    ]


def _links(call: Call) -> list[tuple[str, str]]:
    told = reverse("admin:telephony_notification_changelist")
    return [
        (_("Notifications of this call"), f"{told}?q={call.session_id}&tenant__id__exact={call.tenant_id}"),
        (_("The client's page"), reverse("admin:tenants_tenant_change", args=[call.tenant_id])),
    ]


def _card(call: Call, card: CardTimes, *, now: datetime) -> ShownCard:
    def told(moment: datetime | None) -> str:
        return f"{moment.astimezone(call.tenant.zone):%H:%M:%S.%f}"[:-3] if moment else ""

    return ShownCard(card, told(card.rang_at), told(card.received_at), told(card.sent_at), told(card.accepted_at))
