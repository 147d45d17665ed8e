"""One evaluation: problems become incidents, and new incidents become notifications."""

from datetime import datetime

from connector_project.core.task_queue import Queue
from connector_project.operations.alerts import delivery, incidents, notifications, rules


def evaluate(*, now: datetime) -> None:
    """Evaluate all alert rules once. Safe to run concurrently."""
    clients = rules.load_clients()
    problems = rules.find_problems(clients, now=now)
    incidents.sync_incidents(problems, live={client.pk for client in clients}, now=now)
    # When one queue has no workers, send the notification through the other.
    queue: Queue = "fast" if rules.NO_DEFAULT_WORKER in problems else "default"
    notifications.queue_notifications(now=now, queue=queue)
    delivery.resume_due(now=now, queue=queue)
