"""Offboarding: processing stops and keys are deleted at once, the client's data is deleted later."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connector_project.core import http_client, logging, transactions
from connector_project.core.jobs import DATABASE_FAULTS
from connector_project.core.secret_tokens import columns, generate_token
from connector_project.operations.models import Activation
from crm import client_factory, integration_module
from crm.models import Command, Popup, UnknownId
from crm.module_lease import UNCLAIMED
from telephony.models import BulkAction, Call, Notification, OutgoingRequest
from tenants import api_keys, audit, datetime_display
from tenants.models import (
    AuditLogEntry,
    CheckRun,
    Connection,
    CrmConnection,
    ReconnectLink,
    Tenant,
    UisConnection,
    User,
)
from tenants.models.crm_connection import new_secrets

# Tables with up to millions of rows per client are deleted in batches; the rest goes in one transaction.
LARGE: tuple[type[models.Model], ...] = (
    *(Call, Notification, Popup, Command, UnknownId),
    OutgoingRequest,
)
BATCH = 500
PAUSE_SECONDS = 0.02  # between two batches, so that webhooks are not blocked
SLICE_SECONDS = 60.0  # the queue kills tasks that run longer than it allows

logger = logging.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class OffboardingResult:
    """What offboarding did, and what it could not do."""

    offboarded_at: datetime
    delete_from: datetime
    refusal: str = ""  # why our module could not be switched off in the CRM

    @property
    def lines(self) -> list[str]:
        """What was done and what is left to do, as sentences in the active language."""
        switched_off = _("Our module is switched off in the CRM.")
        not_switched_off = _(
            "Our module could not be switched off in the CRM (%(refusal)s). Ask the client to remove it: "
            "Settings → Integration → Marketplace, our module."
        )
        return [
            _("Processing has stopped. The keys are deleted and our URLs no longer work."),
            not_switched_off % {"refusal": self.refusal.rstrip(".")} if self.refusal else switched_off,
            _("Ask the client to switch off our webhooks in UIS: they no longer work."),
            _("The client's data will be deleted on %(day)s.")
            % {"day": date_format(self.delete_from, datetime_display.DAY)},
        ]


def offboard(tenant: Tenant, *, now: datetime, by: User | AnonymousUser | None = None) -> OffboardingResult:
    """Disconnect a client; safe to repeat after a refusal or a crash.

    Never raises for an error of the CRM: the result has it as `refusal`.
    """
    before = _stop(tenant, now=now, by=by)
    refusal = _switch_off(before)
    if not refusal:
        CrmConnection.objects.filter(tenant=before).update(registered_at=None)
    tenant.refresh_from_db()
    at = tenant.offboarded_at or now
    return OffboardingResult(offboarded_at=at, delete_from=_delete_from(tenant, at), refusal=refusal)


def consequences(tenant: Tenant, now: datetime) -> list[str]:
    """Return what would be deleted for good, how much of it, and when, in the active language."""
    day = date_format(_delete_from(tenant, now), datetime_display.DAY)
    calls = Call.objects.filter(tenant=tenant).count()
    counted = ngettext("%(count)d call", "%(count)d calls", calls) % {"count": calls}
    return [
        _("On %(day)s all data of the client is permanently deleted: %(calls)s, notifications, employees and rules.")
        % {"day": day, "calls": counted}
    ]


def delete_expired(*, now: datetime) -> bool:
    """Delete expired clients, for SLICE_SECONDS at most; return whether there is more to do.

    Rows are deleted in separate transactions, so it may be interrupted and run again.
    """
    ends_at = time.monotonic() + SLICE_SECONDS
    for tenant in Tenant.objects.filter(offboarded_at__isnull=False).order_by("offboarded_at"):
        is_due = tenant.offboarded_at is not None and _delete_from(tenant, tenant.offboarded_at) < now
        if is_due and not _erase_or_log(tenant, now=now, ends_at=ends_at):
            return True
    return False


@transactions.atomic
def _stop(tenant: Tenant, *, now: datetime, by: User | AnonymousUser | None) -> Tenant:
    """Mark the client as disconnected and revoke all access; return the tenant as it was before."""
    before = Tenant.objects.select_for_update(of=("self",), no_key=True).select_related("uis", "crm").get(pk=tenant.pk)
    Tenant.objects.filter(pk=before.pk).update(
        offboarded_at=before.offboarded_at or now,
        activated_at=None,
        activation_expires_at=now,
        one_time_token_digest=None,
        needs_approval=True,
        approval_asked_at=None,
        **columns("activation_token", generate_token()),
    )
    _delete_credentials(before)
    ReconnectLink.objects.filter(tenant=before).delete()
    api_keys.revoke_all(before, now=now)
    _drop_waiting(before, now=now)
    if before.offboarded_at is None:
        audit.log(before, AuditLogEntry.Action.OFFBOARDED, now=now, by=by)
    return before


def _delete_credentials(tenant: Tenant) -> None:
    """Delete keys and URLs. A running task may finish with its own copy; it does not write the keys back."""
    restored = {field.name: field.get_default() for field in Connection._meta.fields}
    UisConnection.objects.filter(tenant=tenant).update(
        access_token="",
        old_hook_digest=None,
        old_hook_until=None,
        hook_revoked_at=None,
        **columns("hook", generate_token()),
        **restored,
    )
    CrmConnection.objects.filter(tenant=tenant).update(
        key="",
        registered_module={},
        module_outdated_since=None,
        **new_secrets(),
        **UNCLAIMED,
        **restored,
    )


def _drop_waiting(tenant: Tenant, *, now: datetime) -> None:
    """Cancel pending work. Calls stay as they are, in case the client comes back in time."""
    dropped, refused = Notification.Outcome.DROPPED, Command.State.FAILED
    Notification.objects.filter(
        tenant=tenant, outcome=Notification.Outcome.QUEUED, next_attempt_at__isnull=False
    ).update(outcome=dropped, reason=Notification.Reason.PAUSED, next_attempt_at=None)
    Command.objects.filter(tenant=tenant, state=Command.State.RECEIVED, next_attempt_at__isnull=False).update(
        state=refused, reason=Command.Reason.NOT_ACTIVE, finished_at=now, next_attempt_at=None
    )
    BulkAction.objects.open().filter(tenant=tenant).update(
        state=BulkAction.State.CANCELLED, ended_at=now, next_attempt_at=None, failed_at=None
    )
    Activation.objects.filter(tenant=tenant).delete()
    CheckRun.objects.filter(tenant=tenant).delete()


def _switch_off(before: Tenant) -> str:
    """Switch our module off in the CRM; return the error, or ""."""
    if before.crm.registered_at is None:
        return ""
    if not before.crm.key:
        return _("the key has already been deleted")
    try:
        integration_module.switch_off(before, client_factory.crm_client(before.crm, is_live=True))
    except http_client.RemoteError as exc:
        return str(exc)
    return ""


def _delete_from(tenant: Tenant, offboarded_at: datetime) -> datetime:
    return offboarded_at.astimezone(tenant.zone) + timedelta(days=tenant.upload_window_days)


def _erase_or_log(tenant: Tenant, *, now: datetime, ends_at: float) -> bool:
    """Delete a client's rows; one whose rows cannot be deleted must not keep those of the others."""
    try:
        return _erase(tenant, now=now, ends_at=ends_at)
    except DATABASE_FAULTS:
        raise
    except Exception:
        logger.exception("the data of a disconnected client was not deleted", tenant=tenant.slug)
        return True


def _erase(tenant: Tenant, *, now: datetime, ends_at: float) -> bool:
    """Delete a client's rows; return whether it is finished. A client who comes back keeps the rest."""
    for batch in _batches(tenant):
        if not Tenant.objects.filter(pk=tenant.pk, offboarded_at=tenant.offboarded_at).exists():
            return True
        batch.delete()
        time.sleep(PAUSE_SECONDS)
        if time.monotonic() > ends_at:
            return False
    return _remove(tenant, now=now)


def _batches(tenant: Tenant) -> Iterable[models.QuerySet[Any]]:
    """Yield batches of rows of the large tables; each must be deleted before the next is requested."""
    for model in LARGE:
        rows = model._default_manager.filter(tenant=tenant).order_by()
        while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
            # Load only the primary key, so that nothing is decrypted.
            yield model._default_manager.filter(pk__in=batch).only("pk")


@transaction.atomic
def _remove(tenant: Tenant, *, now: datetime) -> bool:
    """Delete the client itself; the audit log stays, with their name, without what it says of people."""
    if Tenant.objects.select_for_update().filter(pk=tenant.pk, offboarded_at=tenant.offboarded_at).exists():
        audit.log(tenant, AuditLogEntry.Action.REMOVED, now=now)
        audit.forget_people(tenant)
        tenant.delete()
    return True
