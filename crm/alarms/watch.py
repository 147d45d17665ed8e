"""One look at everything: what is wrong becomes incidents, and what is new of them becomes messages."""

from datetime import datetime

from connector_project.queue import Queue
from crm.alarms import facts, incidents, news, post, rules


def look(*, now: datetime) -> None:
    """Look once; every part of it may run twice, at the same time too."""
    seen = facts.gather(now=now)
    incidents.keep(rules.find(seen), live={client.pk for client in seen.clients}, now=now)
    # Where nobody works off the one queue, the other one carries the news of it.
    queue: Queue = "fast" if "default" in seen.unserved else "default"
    news.tell(now=now, queue=queue)
    post.resume_due(now=now, queue=queue)
