"""All scheduled tasks; `migrate` and `manage.py setup_schedules` apply them."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django_q.models import Schedule

# Task: minutes between two runs. Every task may run twice without harm.
SCHEDULES = {
    "telephony.tasks.sweep": 1,
    "crm.tasks.sweep": 1,
    "crm.tasks.watch": 1,
    "crm.tasks.stand_watch": 1,
    "telephony.tasks.poll_all": 2,
    "telephony.tasks.probe_all": 5,
    "crm.tasks.probe_all": 5,
    "telephony.tasks.reconcile_all": 10,
    "telephony.tasks.sync_all": 60,
    "telephony.tasks.close_all": 60,
    "crm.tasks.look_up_all": 60,
    "crm.tasks.check_all": 360,
    "crm.tasks.erase_left": 1440,
    "crm.tasks.learn_rhythms": 1440,
}
# The task that notices a dead default cluster must not run on that cluster.
ON_FAST = {"crm.tasks.stand_watch"}


def apply(**_signal: Any) -> None:
    """Make the stored schedules equal to the list; unchanged schedules keep their next run."""
    Schedule.objects.exclude(func__in=SCHEDULES).delete()
    for func, minutes in SCHEDULES.items():
        cluster = "fast" if func in ON_FAST else None
        schedule, is_new = Schedule.objects.get_or_create(
            name=func, defaults={"func": func, "schedule_type": Schedule.MINUTES, "minutes": minutes}
        )
        if is_new or (schedule.minutes, schedule.cluster) != (minutes, cluster):
            schedule.minutes, schedule.cluster = minutes, cluster
            schedule.next_run = timezone.now() + timedelta(seconds=5)
            schedule.save()
