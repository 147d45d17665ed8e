"""Tasks and schedules of this app: load, one call into our code."""

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
    """Open the card for a ringing phone."""
    popup.show(_notification(notification_id), now=timezone.now())


def close_popups(notification_id: int) -> None:
    """Close the cards an answer or an end leaves behind."""
    popup.close(_notification(notification_id), now=timezone.now())


def find_owners(tenant_id: int) -> None:
    """Ask the CRM for the managers of missed callers."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.OWNING, limit=upload.OWNERS_BATCH, now=now):
        upload.find_owners(batch, now=now)
        _go_on(route.OWNER, tenant_id, Call.State.OWNING)


def upload_calls(tenant_id: int) -> None:
    """Hand over one client's calls that are ready."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.READY, limit=upload.BATCH, now=now):
        is_full = len(batch) == upload.BATCH
        if is_full:  # Another worker may take the next batch meanwhile.
            _go_on(route.UPLOAD, tenant_id, Call.State.READY)
        upload.upload(batch, now=now)
        # Who found both places taken has gone; the last one out sees that somebody comes after him.
        if not is_full or not Call.objects.in_hand(tenant_id, Call.State.READY, now=timezone.now()):
            _go_on(route.UPLOAD, tenant_id, Call.State.READY)


def run_command(command_id: int) -> None:
    """Carry out what the CRM asked."""
    command = Command.objects.select_related("tenant__uis", "tenant__rules", "employee__tenant__uis").get(pk=command_id)
    commands.run(command, now=timezone.now())


def link_users(tenant_id: int) -> None:
    """Link the CRM's users to employees."""
    tenant = _tenant(tenant_id)
    _ask(tenant, lambda: users.link(tenant, now=timezone.now()))


def register_module(tenant_id: int) -> None:
    """Tell the CRM our addresses after they changed; where it cannot be told now, the hourly sync tells it."""
    tenant = _tenant(tenant_id)

    def tell() -> None:
        client = clients.crm_client(tenant.crm)
        module.register(tenant, client, typed=module.typed_codes(tenant, client), now=timezone.now())

    _ask(tenant, tell)


def go_on_activating(tenant_id: int) -> None:
    """Do the next step of an activation."""
    progress.go_on(_tenant(tenant_id), now=timezone.now())


def check_up(tenant_id: int) -> None:
    """Look at a client as a whole."""
    checkup.run(_tenant(tenant_id), now=timezone.now())


def check_all() -> None:
    """Every six hours: one task for each client who is switched on."""
    with transaction.atomic():
        live = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, left_at=None)
        for tenant_id in live.values_list("pk", flat=True):
            enqueue(checkup.TASK, tenant_id)


def look_up_calls(tenant_id: int) -> None:
    """Look whether the CRM shows what it took."""
    tenant = _tenant(tenant_id)
    if lookup.is_due(tenant, now=timezone.now()):
        _ask(tenant, lambda: lookup.look(tenant, now=timezone.now()))


def look_up_all() -> None:
    """Every hour: one task for each client whose CRM lets us in."""
    with transaction.atomic():
        live = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at=None)
        for tenant_id in live.values_list("pk", flat=True):
            enqueue(LOOK_UP, tenant_id)


def erase_left() -> None:
    """Once a day: the data of clients who left, when their term is over; a part of it at a time."""
    if leaving.erase_due(now=timezone.now()):
        with transaction.atomic():
            enqueue(ERASE)


def push_statuses(tenant_id: int) -> None:
    """Tell the CRM of statuses that changed in UIS."""
    statuses.push(_tenant(tenant_id), now=timezone.now())


def probe(tenant_id: int) -> None:
    """Look whether the CRM lets us in again, and register anew; a module that people switched off stays off."""
    tenant = _tenant(tenant_id)

    def knock() -> None:
        activation.find_out(tenant.crm)
        client = clients.crm_client(tenant.crm)
        if callbacks.is_switched_off(tenant) and not module.is_on(tenant, client):
            raise remote.AccessDenied(SYSTEM, callbacks.SWITCHED_OFF, code=TELEPHONY_OFF)
        module.register_again(tenant, client, now=timezone.now())
        tenant.crm.allow()

    _ask(tenant, knock)


def sweep() -> None:
    """Every minute: commands and activations whose push was lost or whose worker died."""
    commands.resume_left(now=timezone.now())
    progress.resume_left(now=timezone.now())


def watch() -> None:
    """Every minute: what is wrong, and whom to tell."""
    alarms.look(now=timezone.now())


def stand_watch() -> None:
    """Every minute, by the other cluster: the same, while nobody works off the default queue."""
    now = timezone.now()
    if "default" in workers.missing(now=now):
        alarms.look(now=now)


def learn_rhythms() -> None:
    """Once a day: one task for each client."""
    rhythm.learn_all()


def learn_rhythm(tenant_id: int) -> None:
    """Learn when one client's phones ring."""
    rhythm.learn(_tenant(tenant_id), now=timezone.now())


def send_post(post_id: int) -> None:
    """Send one message to the operator."""
    post.send(Post.objects.get(pk=post_id), now=timezone.now())


def probe_all() -> None:
    """Every five minutes: clients whose CRM shut us out."""
    with transaction.atomic():
        shut = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at__isnull=False)
        for tenant_id in shut.values_list("pk", flat=True):
            enqueue(callbacks.PROBE, tenant_id)


def _notification(pk: int) -> Notification:
    return Notification.objects.select_related("tenant__uis", "tenant__crm", "tenant__rules").get(pk=pk)


def _tenant(pk: int) -> Tenant:
    return Tenant.objects.select_related("uis", "crm", "rules").get(pk=pk)


def _go_on(task: str, tenant_id: int, state: State) -> None:
    """Where more is due, queue the next batch behind other clients' work."""
    if Call.objects.due(now=timezone.now()).filter(tenant=tenant_id, state=state).exists():
        with transaction.atomic():
            enqueue(task, tenant_id)


def _ask(tenant: Tenant, question: Callable[[], object]) -> None:
    """Ask the CRM something that comes round again by itself: a refusal is noted, not repeated."""
    if tenant.left_at is not None:
        return  # It was queued before he left.
    try:
        question()
    except (remote.RemoteError, activation.ActivationFailed) as exc:
        # A missing right stops what needs it; only a key or an account that is gone stops everything.
        if isinstance(exc, remote.AccessDenied) and exc.code != SCOPE:
            tenant.crm.deny(exc.code, str(exc), now=timezone.now())
        logger.warning("tenant=%s %s: %s", tenant.slug, type(exc).__name__, exc)
    else:
        # That the CRM answers does not mean that our module is on there: that is for the probe to find out.
        if tenant.crm.denied_code != TELEPHONY_OFF:
            tenant.crm.allow()
