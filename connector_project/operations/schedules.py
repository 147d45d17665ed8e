"""All scheduled tasks; `migrate` and `manage.py setup_schedules` apply them."""

from datetime import datetime, time, timedelta
from typing import Any

from django.utils import timezone
from django_q.models import Schedule

from connector_project.operations import tasks
from crm import tasks as crm_tasks
from telephony import tasks as telephony_tasks

# Task: minutes between two runs. Every task may run twice without harm.
SCHEDULES = {
    "telephony.tasks.enqueue_due_work": 1,
    "crm.tasks.enqueue_due_work": 1,
    "connector_project.operations.tasks.enqueue_due_work": 1,
    "connector_project.operations.tasks.evaluate_alerts": 1,
    "connector_project.operations.tasks.evaluate_alerts_fallback": 1,
    "telephony.tasks.roll_up_calls": 1,
    "crm.tasks.roll_up_popups": 1,
    "telephony.tasks.poll_all": telephony_tasks.POLL_STATUSES.minutes,
    "telephony.tasks.probe_all": telephony_tasks.PROBE.minutes,
    "crm.tasks.probe_all": crm_tasks.PROBE.minutes,
    "telephony.tasks.reconcile_all": telephony_tasks.RECONCILE.minutes,
    "telephony.tasks.sync_all": telephony_tasks.SYNC.minutes,
    "telephony.tasks.close_all": telephony_tasks.CLOSE_DAYS.minutes,
    "telephony.tasks.follow_up_recordings_all": telephony_tasks.FOLLOW_UP_RECORDINGS.minutes,
    "crm.tasks.verify_uploads_all": crm_tasks.VERIFY_UPLOADS.minutes,
    "connector_project.operations.tasks.run_checks_all": tasks.CHECKS.minutes,
    "connector_project.operations.tasks.delete_offboarded_data": 1440,
    "connector_project.operations.tasks.update_traffic_profiles": tasks.TRAFFIC_PROFILES.minutes,
    "connector_project.operations.tasks.delete_sign_in_attempts": 1440,
    "connector_project.operations.tasks.clear_sessions": 1440,
    "connector_project.operations.tasks.purge": 1440,
    "telephony.tasks.check_rolled_up_calls": 1440,
    "crm.tasks.check_rolled_up_popups": 1440,
}
# Tasks that run at a time of their own, in UTC: when offices are closed from Kaliningrad to Vladivostok.
RUNS_AT = {
    "connector_project.operations.tasks.purge": time(20, 30),
    "telephony.tasks.check_rolled_up_calls": time(20, 20),
    "crm.tasks.check_rolled_up_popups": time(20, 25),
}
# The task that notices a dead default cluster must not run on that cluster.
FAST_QUEUE_TASKS = {"connector_project.operations.tasks.evaluate_alerts_fallback"}


def apply(**_signal: Any) -> None:
    """Make the stored schedules equal to the list; unchanged schedules keep their next run."""
    Schedule.objects.exclude(func__in=SCHEDULES).delete()
    for func, minutes in SCHEDULES.items():
        cluster = "fast" if func in FAST_QUEUE_TASKS else None
        known = list(Schedule.objects.filter(name=func).order_by("pk"))
        # Two machines that migrate at the same time both add it.
        Schedule.objects.filter(pk__in=[one.pk for one in known[1:]]).delete()
        schedule = known[0] if known else Schedule(name=func, func=func, schedule_type=Schedule.MINUTES)
        if not known or (schedule.minutes, schedule.cluster) != (minutes, cluster):
            schedule.minutes, schedule.cluster = minutes, cluster
            schedule.next_run = _first_run(func, now=timezone.now())
            schedule.save()


def _first_run(func: str, *, now: datetime) -> datetime:
    at = RUNS_AT.get(func)
    if at is None:
        return now + timedelta(seconds=5)
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
