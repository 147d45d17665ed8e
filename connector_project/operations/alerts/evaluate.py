"""One evaluation: problems become incidents, and new incidents become notifications."""

from datetime import datetime

from connector_project.core.task_queue import Queue
from connector_project.operations.alerts import delivery, incidents, notifications, rules, snapshot


def evaluate(*, now: datetime) -> None:
    """Evaluate all alert rules once. Safe to run concurrently."""
    current = snapshot.take_snapshot(now=now)
    incidents.sync_incidents(rules.find_problems(current), live={client.pk for client in current.tenants}, now=now)
    # When one queue has no workers, send the notification through the other.
    queue: Queue = "fast" if "default" in current.queues_without_workers else "default"
    notifications.queue_notifications(now=now, queue=queue)
    delivery.resume_due(now=now, queue=queue)
