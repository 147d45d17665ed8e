"""Our own links to recordings: issue, check, revoke and restore."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from connector_project.core.compiled_queries import CompiledInsert, CompiledSelect
from telephony.calls import recording_selection
from telephony.models import Call, RecordingLink
from telephony.recordings.unavailable import RecordingUnavailable, UnavailableReason
from tenants import audit
from tenants.audit import Actor
from tenants.decisions import Recording, link_of
from tenants.models import AuditLogEntry, Tenant
from tenants.rules import RecordingKind as Kind


class Chosen(NamedTuple):
    """The recording of a call for the CRM."""

    url: str = ""
    kind: Kind | None = None
    recording: Recording = Recording.NONE
    is_early: bool = False  # these rules would have waited for it: those of before did not
    is_kept: bool = False  # a link of ours that was issued before it expired


def addresses(batch: Sequence[Call], *, longest: int, now: datetime) -> dict[int, str]:
    """Return the recording URL to send for each call that has one, by primary key, as `choose` does."""
    return {pk: chosen.url for pk, chosen in choose(batch, longest=longest, now=now).items() if chosen.url}


def choose(batch: Sequence[Call], *, longest: int, now: datetime) -> dict[int, Chosen]:
    """Return what to send of each call's recording, by primary key: UIS's own URL, or one of our links.

    Our link is created with the first upload and stays the same in every repeat. At most three queries.
    """
    rules = batch[0].tenant.rules
    known = {call.pk: _known_of(call, longest=longest) for call in batch}
    if not rules.send_recording:
        return {pk: Chosen(recording=recording) for pk, (_url, recording) in known.items()}
    kinds = {pk: link_of(recording, rules.recording_link) for pk, (_url, recording) in known.items()}
    of_ours = {call.pk: call for call in batch if kinds[call.pk] == Kind.OURS}
    ours = _our_links(list(of_ours.values()), now=now)
    found = {}
    for pk, (url, recording) in known.items():
        if pk not in of_ours:
            found[pk] = Chosen(url, kinds[pk], recording)
            continue
        sent, call = ours.get(pk, ""), of_ours[pk]
        is_awaited = rules.recording_link == Kind.UIS and recording == Recording.AWAITED
        is_early = is_awaited and now < recording_selection.deadline(call)
        is_kept = bool(sent) and is_expired(call, now=now)
        found[pk] = Chosen(sent, Kind.OURS if sent else None, recording, is_early, is_kept)
    return found


def recording_of(call: Call, *, longest: int) -> Recording:
    """Return what is known of a call's recording now."""
    return _known_of(call, longest=longest)[1]


def _known_of(call: Call, *, longest: int) -> tuple[str, Recording]:
    """Return the URL at UIS, and what that means for the CRM, which takes URLs of this length at most."""
    url = recording_selection.stored_url(call) if call.recording_url else ""
    if call.awaits_recording:
        return url, Recording.AWAITED
    if not url:
        return url, Recording.NONE
    return url, Recording.READY if len(url) <= longest else Recording.TOO_LONG


def _our_links(calls: Sequence[Call], *, now: datetime) -> dict[int, str]:
    links = _known(calls)
    new = [call for call in calls if call.pk not in links and not is_expired(call, now=now)]
    if new:
        made = [RecordingLink.for_call(call, now=now) for call in new]
        if _links.insert_new(made) == len(made):
            links |= {link.call_id: link for link in made}
        else:
            links |= _known(new)  # Another worker has created one first.
    return {pk: address(link) for pk, link in links.items()}


def address(link: RecordingLink) -> str:
    """Return the URL of our link: a secret."""
    return settings.PUBLIC_URL + reverse("record", args=[link.token])


def find(token: str) -> RecordingLink | None:
    """Return the link with this token and everything needed to check it. One query."""
    related = (f"call__{name}" for name in ("tenant__uis", "tenant__rule_version", "employee"))
    link = RecordingLink.objects.select_related(*related).filter(digest__of=token).first()
    if link is not None:
        link.tenant = link.call.tenant
    return link


def check(link: RecordingLink, *, now: datetime) -> None:
    """Raise RecordingUnavailable if the link is revoked or expired."""
    if link.is_revoked:
        raise RecordingUnavailable(UnavailableReason.REVOKED)
    if is_expired(link.call, now=now):
        raise RecordingUnavailable(UnavailableReason.EXPIRED)


def ends_at(call: Call) -> datetime | None:
    """Return when our links to this call expire by the tenant's current rule; None means never."""
    days = call.tenant.rules.recording_days
    return None if days is None else call.ended_at + timedelta(days=days)


def is_expired(call: Call, *, now: datetime) -> bool:
    until = ends_at(call)
    return until is not None and until <= now


@transaction.atomic
def revoke(link: RecordingLink, *, by: Actor, now: datetime) -> None:
    if RecordingLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=now):
        audit.log(link.tenant, AuditLogEntry.Action.RECORDING_LINK_REVOKED, now=now, by=by, target=link.call)


@transaction.atomic
def restore(link: RecordingLink, *, by: Actor, now: datetime) -> None:
    """Restore a link that was revoked, individually or with all others: the CRM has no other one."""
    RecordingLink.objects.filter(pk=link.pk).update(revoked_at=None, issued_at=now)
    audit.log(link.tenant, AuditLogEntry.Action.RECORDING_LINK_RESTORED, now=now, by=by, target=link.call)


def revoke_all(tenant: Tenant, *, now: datetime) -> None:
    """Revoke every link of a tenant issued so far, in one update."""
    Tenant.objects.filter(pk=tenant.pk).update(recording_links_revoked_at=now)


def restore_all(tenant: Tenant) -> None:
    """Restore links that were revoked together; those revoked individually stay revoked."""
    Tenant.objects.filter(pk=tenant.pk).update(recording_links_revoked_at=None)


def has_open(tenant: Tenant) -> bool:
    """Whether the tenant has a link that is not revoked."""
    rows = RecordingLink.objects.filter(tenant=tenant, revoked_at=None)
    return (
        rows.filter(issued_at__gt=tenant.recording_links_revoked_at).exists()
        if tenant.recording_links_revoked_at
        else rows.exists()
    )


def _known(calls: Sequence[Call]) -> dict[int, RecordingLink]:
    return {link.call_id: link for link in _of_calls.fetch(calls=[call.pk for call in calls])} if calls else {}


_links = CompiledInsert(RecordingLink)
_of_calls: CompiledSelect[RecordingLink] = CompiledSelect(
    lambda given: RecordingLink.objects.filter(call__pk__in=given.integers("calls")), lists=["calls"]
)
