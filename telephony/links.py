"""Our own links to recordings: issue, check, revoke and restore."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from telephony.models import Call, RecordLink
from telephony.models.record_link import digest
from telephony.silence import Silence, Unheard
from tenants import journal
from tenants.journal import By
from tenants.models import Change, Tenant, TransferRules


def addresses(batch: Sequence[Call], *, now: datetime) -> dict[int, str]:
    """Return the recording URL to send for each call, by primary key: UIS's own or one of our links.

    Our link is created with the first upload and stays the same in every repeat. At most three queries.
    """
    rules = batch[0].tenant.rules
    recorded = [call for call in batch if call.record_url] if rules.send_recording else []
    if rules.recording_link != TransferRules.RecordingLink.OURS:
        return {call.pk: call.record_url for call in recorded}
    links = _known(recorded)
    new = [call for call in recorded if call.pk not in links and not is_over(call, now=now)]
    if new:
        RecordLink.objects.bulk_create((RecordLink.to(call, now=now) for call in new), ignore_conflicts=True)
        links |= _known(new)  # Another worker may have created one first.
    return {pk: address(link) for pk, link in links.items()}


def address(link: RecordLink) -> str:
    """Return the URL of our link: a secret."""
    return settings.PUBLIC_URL + reverse("record", args=[link.token])


def find(token: str) -> RecordLink | None:
    """Return the link with this token and everything needed to check it. One query."""
    related = (f"call__{name}" for name in ("tenant__uis", "tenant__rules", "employee"))
    link = RecordLink.objects.select_related(*related).filter(digest=digest(token)).first()
    if link is not None:
        link.tenant = link.call.tenant
    return link


def check(link: RecordLink, *, now: datetime) -> None:
    """Raise RecordingUnavailable if the link is revoked or expired."""
    if link.is_withdrawn:
        raise Unheard(Silence.WITHDRAWN)
    if is_over(link.call, now=now):
        raise Unheard(Silence.EXPIRED)


def ends_at(call: Call) -> datetime | None:
    """Return when our links to this call expire by the tenant's current rule; None means never."""
    days = call.tenant.rules.recording_days
    return None if days is None else call.ended_at + timedelta(days=days)


def is_over(call: Call, *, now: datetime) -> bool:
    until = ends_at(call)
    return until is not None and until <= now


@transaction.atomic
def withdraw(link: RecordLink, *, by: By, now: datetime) -> None:
    if RecordLink.objects.filter(pk=link.pk, withdrawn_at=None).update(withdrawn_at=now):
        journal.note(link.tenant, Change.Verb.WITHDRAWN, now=now, by=by, part=link.call)


@transaction.atomic
def give_again(link: RecordLink, *, by: By, now: datetime) -> None:
    """Restore a link that was revoked, individually or with all others: the CRM has no other one."""
    RecordLink.objects.filter(pk=link.pk).update(withdrawn_at=None, given_at=now)
    journal.note(link.tenant, Change.Verb.GIVEN_AGAIN, now=now, by=by, part=link.call)


def withdraw_all(tenant: Tenant, *, now: datetime) -> None:
    """Revoke every link of a tenant issued so far, in one update."""
    Tenant.objects.filter(pk=tenant.pk).update(links_withdrawn_at=now)


def give_all_again(tenant: Tenant) -> None:
    """Restore links that were revoked together; those revoked individually stay revoked."""
    Tenant.objects.filter(pk=tenant.pk).update(links_withdrawn_at=None)


def has_open(tenant: Tenant) -> bool:
    """Whether the tenant has a link that is not revoked."""
    rows = RecordLink.objects.filter(tenant=tenant, withdrawn_at=None)
    return rows.filter(given_at__gt=tenant.links_withdrawn_at).exists() if tenant.links_withdrawn_at else rows.exists()


def _known(calls: Sequence[Call]) -> dict[int, RecordLink]:
    return {link.call_id: link for link in RecordLink.objects.filter(call__in=calls)} if calls else {}
