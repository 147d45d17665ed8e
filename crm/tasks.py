"""Tasks and schedules of this app: load the rows, make one call."""

import logging
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from connector_project import remote, workers
from connector_project.queue import enqueue
from crm import (
    activation,
    callbacks,
    checkup,
    clients,
    commands,
    leaving,
    lookup,
    module,
    popup,
    progress,
    statuses,
    upload,
    users,
)
from crm.alarms import post, rhythm
from crm.alarms import watch as alarms
from crm.models import Command, Post
from crm.retailcrm.refusals import SCOPE, SYSTEM, TELEPHONY_OFF
from telephony import route
from telephony.models import Call, Notification, State
from tenants.models import Tenant

ERASE = "crm.tasks.erase_left"
LOOK_UP = "crm.tasks.look_up_calls"

logger = logging.getLogger(__name__)


def show_popup(notification_id: int) -> None:
    popup.show(_notification(notification_id), now=timezone.now())


def close_popups(notification_id: int) -> None:
    popup.close(_notification(notification_id), now=timezone.now())


def find_owners(tenant_id: int) -> None:
    """Look up the managers of missed callers."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.OWNING, limit=upload.OWNERS_BATCH, now=now):
        upload.find_owners(batch, now=now)
        _enqueue_if_due(route.OWNER, tenant_id, Call.State.OWNING)


def upload_calls(tenant_id: int) -> None:
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.READY, limit=upload.BATCH, now=now):
        is_full = len(batch) == upload.BATCH
        if is_full:  # Another worker may upload the next batch meanwhile.
            _enqueue_if_due(route.UPLOAD, tenant_id, Call.State.READY)
        upload.upload(batch, now=now)
        # A task that found no free slot has ended without work, so the last running one enqueues the next.
        if not is_full or not Call.objects.in_hand(tenant_id, Call.State.READY, now=timezone.now()):
            _enqueue_if_due(route.UPLOAD, tenant_id, Call.State.READY)


def run_command(command_id: int) -> None:
    command = Command.objects.select_related("tenant__uis", "tenant__rules", "employee__tenant__uis").get(pk=command_id)
    commands.run(command, now=timezone.now())


def link_users(tenant_id: int) -> None:
    tenant = _tenant(tenant_id)
    _run_for_tenant(tenant, lambda: users.link(tenant, now=timezone.now()))


def register_module(tenant_id: int) -> None:
    """Register our URLs after they changed; if that fails, the hourly sync does it."""
    tenant = _tenant(tenant_id)

    def register() -> None:
        client = clients.crm_client(tenant.crm)
        module.register(tenant, client, typed=module.typed_codes(tenant, client), now=timezone.now())

    _run_for_tenant(tenant, register)


def go_on_activating(tenant_id: int) -> None:
    progress.go_on(_tenant(tenant_id), now=timezone.now())


def check_up(tenant_id: int) -> None:
    checkup.run(_tenant(tenant_id), now=timezone.now())


def check_all() -> None:
    """Every six hours: enqueue one task per active client."""
    with transaction.atomic():
        live = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, left_at=None)
        for tenant_id in live.values_list("pk", flat=True):
            enqueue(checkup.TASK, tenant_id)


def look_up_calls(tenant_id: int) -> None:
    """Verify that uploaded calls are in the CRM."""
    tenant = _tenant(tenant_id)
    if lookup.is_due(tenant, now=timezone.now()):
        _run_for_tenant(tenant, lambda: lookup.look(tenant, now=timezone.now()))


def look_up_all() -> None:
    """Every hour: enqueue one task per client whose CRM connection is not suspended."""
    with transaction.atomic():
        live = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at=None)
        for tenant_id in live.values_list("pk", flat=True):
            enqueue(LOOK_UP, tenant_id)


def erase_left() -> None:
    """Once a day: delete the data of disconnected clients after the retention term, in slices."""
    if leaving.erase_due(now=timezone.now()):
        with transaction.atomic():
            enqueue(ERASE)


def push_statuses(tenant_id: int) -> None:
    statuses.push(_tenant(tenant_id), now=timezone.now())


def probe(tenant_id: int) -> None:
    """Check whether the CRM accepts us again, and register again; a module that users switched off stays off."""
    tenant = _tenant(tenant_id)

    def reconnect() -> None:
        activation.find_out(tenant.crm)
        client = clients.crm_client(tenant.crm)
        if callbacks.is_switched_off(tenant) and not module.is_on(tenant, client):
            raise remote.AccessDenied(SYSTEM, callbacks.SWITCHED_OFF, code=TELEPHONY_OFF)
        module.register_again(tenant, client, now=timezone.now())
        tenant.crm.allow()

    _run_for_tenant(tenant, reconnect)


def sweep() -> None:
    """Every minute: enqueue commands and activations whose queue entry was lost or whose worker died."""
    commands.resume_left(now=timezone.now())
    progress.resume_left(now=timezone.now())


def watch() -> None:
    """Every minute: evaluate the alerts."""
    alarms.look(now=timezone.now())


def stand_watch() -> None:
    """Every minute, on the other cluster: evaluate the alerts while the default queue has no workers."""
    now = timezone.now()
    if "default" in workers.missing(now=now):
        alarms.look(now=now)


def learn_rhythms() -> None:
    """Once a day: enqueue one task per client."""
    rhythm.learn_all()


def learn_rhythm(tenant_id: int) -> None:
    """Update one client's traffic profile."""
    rhythm.learn(_tenant(tenant_id), now=timezone.now())


def send_post(post_id: int) -> None:
    """Send one alert."""
    post.send(Post.objects.get(pk=post_id), now=timezone.now())


def probe_all() -> None:
    """Every five minutes: probe the CRM connections that are suspended."""
    with transaction.atomic():
        suspended = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at__isnull=False)
        for tenant_id in suspended.values_list("pk", flat=True):
            enqueue(callbacks.PROBE, tenant_id)


def _notification(pk: int) -> Notification:
    return Notification.objects.select_related("tenant__uis", "tenant__crm", "tenant__rules").get(pk=pk)


def _tenant(pk: int) -> Tenant:
    return Tenant.objects.select_related("uis", "crm", "rules").get(pk=pk)


def _enqueue_if_due(task: str, tenant_id: int, state: State) -> None:
    """Enqueue the next batch if more is due, after other clients' work."""
    if Call.objects.due(now=timezone.now()).filter(tenant=tenant_id, state=state).exists():
        with transaction.atomic():
            enqueue(task, tenant_id)


def _run_for_tenant(tenant: Tenant, call: Callable[[], object]) -> None:
    """Call the CRM for a periodic task: errors are logged and not retried."""
    if tenant.left_at is not None:
        return  # Queued before the client was disconnected.
    try:
        call()
    except (remote.RemoteError, activation.ActivationFailed) as exc:
        # A missing scope only affects this feature; an invalid key or account suspends the connection.
        if isinstance(exc, remote.AccessDenied) and exc.code != SCOPE:
            tenant.crm.deny(exc.code, str(exc), now=timezone.now())
        logger.warning("tenant=%s %s: %s", tenant.slug, type(exc).__name__, exc)
    else:
        # An answer does not prove that our module is switched on there: only the probe checks that.
        if tenant.crm.denied_code != TELEPHONY_OFF:
            tenant.crm.allow()
