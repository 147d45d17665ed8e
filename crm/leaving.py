"""A client leaves: his work stops and his keys go at once, our module is switched off, his data is deleted later."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import models, transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from connector_project import remote
from crm import clients, module
from crm.models import Activation, Command, Popup, Stray
from telephony.models import Call, Notification, Takeover
from tenants import clock, journal, tokens
from tenants.models import Change, CheckUp, CrmConnection, Tenant, UisConnection, new_hook

# What a client may have by the million, calls with their history; the rest of him goes in one transaction.
LARGE: tuple[type[models.Model], ...] = (Call, Notification, Popup, Command, Stray)
BATCH = 500
PAUSE_SECONDS = 0.02  # between two batches, so that webhooks get their turn
SLICE_SECONDS = 60.0  # a task that runs longer than the queue allows would be killed


@dataclass(frozen=True, kw_only=True)
class Left:
    """What leaving did, and what it could not do."""

    left_at: datetime
    erased_from: datetime
    refusal: str = ""  # why our module could not be switched off in the CRM

    @property
    def lines(self) -> list[str]:
        """What was done and what is left to do, in sentences, in the language that is active."""
        off = _("Our module is switched off in the CRM.")
        still_on = _(
            "Our module could not be switched off in the CRM (%(refusal)s). Tell the client to remove it: "
            "Settings → Integration → Marketplace, our module."
        )
        return [
            _("Work has stopped. The keys are deleted, and the addresses answer nobody any more."),
            still_on % {"refusal": self.refusal.rstrip(".")} if self.refusal else off,
            _("Tell the client to switch off our notifications in UIS: they lead nowhere now."),
            _("His data will be deleted on %(day)s.") % {"day": date_format(self.erased_from, clock.DAY)},
        ]


def leave(tenant: Tenant, *, now: datetime, by: User | AnonymousUser | None = None) -> Left:
    """Let a client go; for one who has left already it does again what a refusal or a crash may have left undone.

    Never raises for what the CRM does: it is told in what is returned.
    """
    was = _stop(tenant, now=now, by=by)
    refusal = _switch_off(was)
    if not refusal:
        CrmConnection.objects.filter(tenant=was).update(registered_at=None)
    tenant.refresh_from_db()
    left_at = (tenant.left_at or now).astimezone(tenant.zone)
    return Left(left_at=left_at, erased_from=left_at + timedelta(days=tenant.keep_days), refusal=refusal)


def erase_due(*, now: datetime) -> bool:
    """Delete clients whose term is over, for a minute at most; say whether there is more to do.

    Rows go in batches of their own, so it may be stopped anywhere and begun again.
    """
    ends_at = time.monotonic() + SLICE_SECONDS
    for tenant in Tenant.objects.filter(left_at__isnull=False).order_by("left_at"):
        if _is_due(tenant, now=now) and not _erase(tenant, now=now, ends_at=ends_at):
            return True
    return False


@transaction.atomic
def _stop(tenant: Tenant, *, now: datetime, by: User | AnonymousUser | None) -> Tenant:
    """Write that he left, and take away all that lets anything in or out; return him as he was."""
    was = Tenant.objects.select_for_update(of=("self",)).select_related("uis", "crm").get(pk=tenant.pk)
    Tenant.objects.filter(pk=was.pk).update(
        left_at=was.left_at or now,
        activated_at=None,
        activation_token=new_hook(),
        activation_expires_at=now,
        entry_token=None,
    )
    _wipe(was)
    tokens.revoke_all(was, now=now)
    _drop_waiting(was, now=now)
    if was.left_at is None:
        journal.note(was, Change.Verb.LEFT, now=now, by=by)
    return was


def _wipe(tenant: Tenant) -> None:
    """Delete keys and addresses. A task at work at this moment may end: it has its own copy, and writes none back."""
    opened: dict[str, Any] = {"denied_at": None, "denied_code": "", "denied_says": "", "failures": 0, "retry_at": None}
    UisConnection.objects.filter(tenant=tenant).update(
        access_token="",
        hook=new_hook(),
        old_hook=None,
        old_hook_until=None,
        **opened,
    )
    CrmConnection.objects.filter(tenant=tenant).update(key="", client_id=new_hook(), sent_module={}, **opened)


def _drop_waiting(tenant: Tenant, *, now: datetime) -> None:
    """Take off the queue's hands what was asked for and has not begun. Calls wait, should he come back in time."""
    dropped, refused = Notification.Outcome.DROPPED, Command.State.FAILED
    Notification.objects.filter(
        tenant=tenant, outcome=Notification.Outcome.QUEUED, next_attempt_at__isnull=False
    ).update(outcome=dropped, reason=Notification.Reason.PAUSED, next_attempt_at=None)
    Command.objects.filter(tenant=tenant, state=Command.State.RECEIVED, next_attempt_at__isnull=False).update(
        state=refused, reason=Command.Reason.NOT_ACTIVE, finished_at=now, next_attempt_at=None
    )
    Takeover.objects.open().filter(tenant=tenant).update(
        state=Takeover.State.CANCELLED, ended_at=now, next_attempt_at=None, stopped_at=None
    )
    Activation.objects.filter(tenant=tenant).delete()
    CheckUp.objects.filter(tenant=tenant).delete()


def _switch_off(was: Tenant) -> str:
    """Switch our module off in the CRM; return why it is not, "" where it is."""
    if was.crm.registered_at is None:
        return ""
    if not was.crm.key:
        return _("the key is deleted already")
    try:
        module.switch_off(was, clients.crm_client(was.crm, is_live=True))
    except remote.RemoteError as exc:
        return str(exc)
    return ""


def _is_due(tenant: Tenant, *, now: datetime) -> bool:
    return tenant.left_at is not None and tenant.left_at + timedelta(days=tenant.keep_days) < now


def _erase(tenant: Tenant, *, now: datetime, ends_at: float) -> bool:
    """Delete a client with all that is his; say whether all is gone. One who comes back meanwhile keeps the rest."""
    for batch in _batches(tenant):
        if not Tenant.objects.filter(pk=tenant.pk, left_at=tenant.left_at).exists():
            return True
        batch.delete()
        time.sleep(PAUSE_SECONDS)
        if time.monotonic() > ends_at:
            return False
    return _remove(tenant, now=now)


def _batches(tenant: Tenant) -> Iterable[models.QuerySet[Any]]:
    """Yield the rows of large tables in handfuls, until none is left: each is deleted before the next is asked for."""
    for model in LARGE:
        rows = model._default_manager.filter(tenant=tenant).order_by()
        while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
            # Only the key: a row is not to be decrypted in order to be deleted.
            yield model._default_manager.filter(pk__in=batch).only("pk")


@transaction.atomic
def _remove(tenant: Tenant, *, now: datetime) -> bool:
    """Delete what is left of him; his journal stays, with his name in it."""
    if Tenant.objects.select_for_update().filter(pk=tenant.pk, left_at=tenant.left_at).exists():
        journal.note(tenant, Change.Verb.REMOVED, now=now)
        tenant.delete()
    return True
