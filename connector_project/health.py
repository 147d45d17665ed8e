"""What a monitor may ask: is this process alive, and can work be done."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from redis import RedisError
from rest_framework.decorators import api_view
from rest_framework.response import Response

from connector_project import queue
from connector_project.models import Worker
from crm.models import Command
from telephony.models import Call, Notification

BEAT_IS_OLD_AFTER_SECONDS = 45
QUEUES: tuple[queue.Queue, ...] = ("default", "fast")


def live(_request: HttpRequest) -> HttpResponse:
    """Say that this process answers; asks nothing of anybody."""
    return JsonResponse({"status": "ok"})


@api_view(["GET"])
def ready(_request: HttpRequest) -> Response:
    """Say whether database, queue and workers live, and how old the oldest waiting work is; 503 when one does not."""
    now = timezone.now()
    said: dict[str, Any] = {"database": _database()}
    if said["database"] == "ok":
        said |= {"queue": _queue(), "oldest_waiting_seconds": _oldest_waiting(now=now), "workers": _workers(now=now)}
        said["missing_workers"] = [name for name in QUEUES if not _is_served(said["workers"], name)]
    is_ready = said["database"] == "ok" and "error" not in said["queue"] and not said["missing_workers"]
    return Response({"status": "ok" if is_ready else "unavailable", **said}, status=200 if is_ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as exc:
        return type(exc).__name__
    return "ok"


def _queue() -> dict[str, Any]:
    try:
        depth = {name: queue.depth(name) for name in QUEUES}
    except (RedisError, DatabaseError) as exc:
        return {"error": type(exc).__name__}
    return {"broker": "redis" if settings.REDIS_URL else "database", "waiting": depth}


def _oldest_waiting(*, now: datetime) -> int:
    """Return how long the longest overdue piece of work has been due, in seconds."""
    due = [
        # Old calls found late wait by design: an alarm about them would be a false one.
        Call.objects.due(now=now)
        .filter(is_backlog=False)
        .order_by("next_attempt_at")
        .values_list("next_attempt_at", flat=True)
        .first(),
        _first_due(Notification.objects.all(), now=now),
        _first_due(Command.objects.all(), now=now),
    ]
    return max((int((now - moment).total_seconds()) for moment in due if moment), default=0)


def _first_due(rows: Any, *, now: datetime) -> datetime | None:
    moment: datetime | None = (
        rows.filter(next_attempt_at__lte=now)
        .order_by("next_attempt_at")
        .values_list("next_attempt_at", flat=True)
        .first()
    )
    return moment


def _workers(*, now: datetime) -> list[dict[str, Any]]:
    return [
        {"name": worker.name, "queue": worker.queue, "beat_seconds_ago": int((now - worker.beat_at).total_seconds())}
        for worker in Worker.objects.order_by("queue", "name")
    ]


def _is_served(workers: list[dict[str, Any]], name: str) -> bool:
    return any(
        worker["queue"] == name and worker["beat_seconds_ago"] <= BEAT_IS_OLD_AFTER_SECONDS for worker in workers
    )
