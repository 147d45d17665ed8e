"""A beat of each worker, written from inside the worker process, for the health address."""

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
    """Begin to beat in this worker process (receiver of django-q's post_spawn)."""
    threading.Thread(target=_beat_for_ever, name=f"beat of {proc_name}", daemon=True).start()


def _beat_for_ever() -> None:
    stop = threading.Event()
    while True:
        try:
            beat()
        except DatabaseError as exc:
            logger.warning("A beat could not be written: %s", type(exc).__name__)
        finally:
            connection.close()
        stop.wait(EVERY_SECONDS)


def beat() -> None:
    """Write that this process lives, and forget those not heard of for ten minutes."""
    now = timezone.now()
    name = f"{socket.gethostname()}:{os.getpid()}"
    queue = os.environ.get("Q_CLUSTER_NAME") or settings.Q_CLUSTER["name"]
    Worker.objects.update_or_create(name=name, defaults={"queue": queue, "beat_at": now})
    Worker.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER).delete()
