"""Tasks and schedules of this app: load the rows, make one call."""

from datetime import datetime

from django.core import management
from django.db import transaction
from django.utils import timezone

from connector_project.core import sweeps, workers
from connector_project.core.task_queue import enqueue
from connector_project.operations import rule_previews
from connector_project.operations.alerts import delivery, evaluate, traffic_profile
from connector_project.operations.checks import runner
from connector_project.operations.erasure import run as erasure
from connector_project.operations.onboarding import activation, offboarding
from connector_project.operations.retention import purge as retention
from connector_project.operations.sign_in import limits
from crm import popups
from telephony.models import notification_statements
from telephony.webhooks import process, turns
from tenants import periodic_work
from tenants.models import Tenant
from tenants.periodic_work import PeriodicWork

PURGE = "connector_project.operations.tasks.purge"
PURGE_SLICE_SECONDS = 60.0  # the queue kills tasks that run longer than it allows
DELETE_OFFBOARDED = "connector_project.operations.tasks.delete_offboarded_data"


def process_notification(notification_id: int) -> None:
    """Process stored webhooks in turns of the tenants; the given one only woke this task up."""
    turns.work_off(notification_id, _process_claim)


def process_late_notification(notification_id: int) -> None:
    """Process one webhook that was missed, or failed before."""
    now = timezone.now()
    _finish(process.process(notification_id, now=now), now=now)


def run_activation_step(tenant_id: int) -> None:
    activation.run_next_step(_tenant(tenant_id), now=timezone.now())


def run_checks(tenant_id: int) -> None:
    runner.run(_tenant(tenant_id), now=timezone.now())


def run_checks_all() -> None:
    """Every six hours: check each active client."""
    periodic_work.begin(CHECKS, now=timezone.now())


def enqueue_due_work() -> None:
    """Every minute: enqueue activations, erasures and previews whose queue entry was lost or whose worker died."""
    resumed = (activation.resume_pending, activation.retry_refused, erasure.resume_due, rule_previews.resume_due)
    sweeps.run_all(*resumed, workers.forget_stopped, now=timezone.now())


def evaluate_alerts() -> None:
    """Every minute: evaluate the alerts."""
    evaluate.evaluate(now=timezone.now())


def evaluate_alerts_fallback() -> None:
    """Every minute, on the other cluster: evaluate the alerts while the default queue has no workers."""
    now = timezone.now()
    if "default" in workers.find_queues_without_workers(now=now):
        evaluate.evaluate(now=now)


def update_traffic_profiles() -> None:
    """Once a day: each client's, because one client's calls are an index range, and those of all are not."""
    periodic_work.begin(TRAFFIC_PROFILES, now=timezone.now())


def update_traffic_profile(tenant_id: int) -> None:
    """Update one client's traffic profile."""
    traffic_profile.update_profile(_tenant(tenant_id), now=timezone.now())


def send_alert(delivery_id: int) -> None:
    """Send one alert."""
    delivery.send(delivery_id, now=timezone.now())


def delete_offboarded_data() -> None:
    """Once a day: delete the data of disconnected clients after the retention term, in slices."""
    if offboarding.delete_expired(now=timezone.now()):
        with transaction.atomic():
            enqueue(DELETE_OFFBOARDED)


def delete_sign_in_attempts() -> None:
    """Once a day: delete the failed sign-ins that count no more."""
    limits.delete_expired(now=timezone.now())


def purge() -> None:
    """Every night: delete the rows whose term is over, in slices."""
    rule_previews.delete_old(now=timezone.now())
    if not retention.run(now=timezone.now(), seconds=PURGE_SLICE_SECONDS).is_complete:
        with transaction.atomic():
            enqueue(PURGE)


def erase_number(erasure_id: int) -> None:
    """Run an erasure, in slices."""
    erasure.run(erasure_id, now=timezone.now(), seconds=erasure.SLICE_SECONDS)


def preview_rules(preview_id: int) -> None:
    """Replay a draft of the rules on stored calls, for one turn."""
    rule_previews.run(preview_id, now=timezone.now())


def clear_sessions() -> None:
    """Once a day: delete expired sessions."""
    management.call_command("clearsessions")


CHECKS = PeriodicWork(task=runner.TASK, minutes=360, clients=Tenant.objects.live)
TRAFFIC_PROFILES = PeriodicWork(task=traffic_profile.TASK, minutes=1440, clients=Tenant.objects.live)
PERIODIC_WORK = (CHECKS, TRAFFIC_PROFILES)


def _process_claim(claim: turns.Claim) -> None:
    now = timezone.now()
    if stored := notification_statements.claimed(claim.pk, claim.token):
        _finish(process.process_claimed(stored, now=now), now=now)


def _finish(processed: process.Processed | None, *, now: datetime) -> None:
    """If a notification rings, answers or ends a call, open or close its pop-ups."""
    if processed:
        stored, event = processed
        outcome = popups.apply(stored.tenant, event, received_at=stored.received_at, now=now)
        process.finish(stored, outcome)


def _tenant(pk: int) -> Tenant:
    return Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=pk)
