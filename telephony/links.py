"""Our own links to recordings: given with the upload, opened, taken back and given again."""

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
    """Return the address of the recording that the CRM is to get of each call, by its key: UIS's own or one of ours.

    A link of ours is made with the first upload and stays the same in every repeat. Three queries at most.
    """
    rules = batch[0].tenant.rules
    recorded = [call for call in batch if call.record_url] if rules.send_recording else []
    if rules.recording_link != TransferRules.RecordingLink.OURS:
        return {call.pk: call.record_url for call in recorded}
    links = _known(recorded)
    new = [call for call in recorded if call.pk not in links and not is_over(call, now=now)]
    if new:
        RecordLink.objects.bulk_create((RecordLink.to(call, now=now) for call in new), ignore_conflicts=True)
        links |= _known(new)  # Somebody else may have been first.
    return {pk: address(link) for pk, link in links.items()}


def address(link: RecordLink) -> str:
    """Return where a link of ours leads: a secret."""
    return settings.PUBLIC_URL + reverse("record", args=[link.token])


def find(token: str) -> RecordLink | None:
    """Return the link with this token and all that decides whether it opens, in one query."""
    whole = (f"call__{name}" for name in ("tenant__uis", "tenant__rules", "employee"))
    link = RecordLink.objects.select_related(*whole).filter(digest=digest(token)).first()
    if link is not None:
        link.tenant = link.call.tenant
    return link


def check(link: RecordLink, *, now: datetime) -> None:
    """Raise Unheard for a link that opens nothing, whatever UIS has."""
    if link.is_withdrawn:
        raise Unheard(Silence.WITHDRAWN)
    if is_over(link.call, now=now):
        raise Unheard(Silence.EXPIRED)


def ends_at(call: Call) -> datetime | None:
    """Return when links of ours to this call cease to open, by the client's rule of today."""
    days = call.tenant.rules.recording_days
    return None if days is None else call.ended_at + timedelta(days=days)


def is_over(call: Call, *, now: datetime) -> bool:
    """Whether the term of a link to this call is over."""
    until = ends_at(call)
    return until is not None and until <= now


@transaction.atomic
def withdraw(link: RecordLink, *, by: By, now: datetime) -> None:
    """Take one link back."""
    if RecordLink.objects.filter(pk=link.pk, withdrawn_at=None).update(withdrawn_at=now):
        journal.note(link.tenant, Change.Verb.WITHDRAWN, now=now, by=by, part=link.call)


@transaction.atomic
def give_again(link: RecordLink, *, by: By, now: datetime) -> None:
    """Let a link open again that was taken back, alone or with all others: the CRM has no other one."""
    RecordLink.objects.filter(pk=link.pk).update(withdrawn_at=None, given_at=now)
    journal.note(link.tenant, Change.Verb.GIVEN_AGAIN, now=now, by=by, part=link.call)


def withdraw_all(tenant: Tenant, *, now: datetime) -> None:
    """Take back every link of a client that was given until now, however many there are."""
    Tenant.objects.filter(pk=tenant.pk).update(links_withdrawn_at=now)


def give_all_again(tenant: Tenant) -> None:
    """Let the links open again that were taken back together; those taken back one by one stay shut."""
    Tenant.objects.filter(pk=tenant.pk).update(links_withdrawn_at=None)


def has_open(tenant: Tenant) -> bool:
    """Whether a link of this client is not taken back."""
    mine = RecordLink.objects.filter(tenant=tenant, withdrawn_at=None)
    return mine.filter(given_at__gt=tenant.links_withdrawn_at).exists() if tenant.links_withdrawn_at else mine.exists()


def _known(calls: Sequence[Call]) -> dict[int, RecordLink]:
    return {link.call_id: link for link in RecordLink.objects.filter(call__in=calls)} if calls else {}
