"""Writes a heartbeat from each worker process, for the health endpoint and the alerts."""

import logging
import os
import socket
import threading
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from connector_project.models import Worker

EVERY_SECONDS = 10.0
FORGOTTEN_AFTER = timedelta(minutes=10)

logger = logging.getLogger(__name__)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the heartbeat thread of this worker process (receiver of django-q's post_spawn)."""
    threading.Thread(target=_run, name=f"heartbeat of {proc_name}", daemon=True).start()


def _run() -> None:
    stop = threading.Event()
    while True:
        try:
            beat()
        except DatabaseError as exc:
            logger.warning("The heartbeat could not be written: %s", type(exc).__name__)
        finally:
            connection.close()
        stop.wait(EVERY_SECONDS)


def beat() -> None:
    """Record the heartbeat of this process, and delete heartbeats older than ten minutes."""
    now = timezone.now()
    name = f"{socket.gethostname()}:{os.getpid()}"
    queue = os.environ.get("Q_CLUSTER_NAME") or settings.Q_CLUSTER["name"]
    Worker.objects.update_or_create(name=name, defaults={"queue": queue, "beat_at": now})
    Worker.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER).delete()
