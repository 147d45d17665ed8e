"""One evaluation: problems become incidents, and new incidents become notifications."""

from datetime import datetime

from connector_project.queue import Queue
from crm.alarms import facts, incidents, news, post, rules


def look(*, now: datetime) -> None:
    """Evaluate all alert rules once. Safe to run concurrently."""
    snapshot = facts.gather(now=now)
    incidents.keep(rules.find(snapshot), live={client.pk for client in snapshot.clients}, now=now)
    # When one queue has no workers, send the notification through the other.
    queue: Queue = "fast" if "default" in snapshot.unserved else "default"
    news.tell(now=now, queue=queue)
    post.resume_due(now=now, queue=queue)
