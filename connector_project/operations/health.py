"""Liveness and readiness endpoints."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from redis import RedisError
from rest_framework.decorators import api_view
from rest_framework.response import Response

from connector_project.core import task_queue, workers
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations import queue_lag


def live(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if this process is alive; checks nothing else."""
    return JsonResponse({"status": "ok"})


@api_view(["GET"])
def ready(_request: HttpRequest) -> Response:
    """Report the state of database, queue and workers, and the age of the oldest due work; 503 if one is down."""
    now = timezone.now()
    report: dict[str, Any] = {"database": _database()}
    if report["database"] == "ok":
        known = list(WorkerHeartbeat.objects.order_by("queue", "name"))
        report |= {
            "queue": _queue(),
            "oldest_waiting_seconds": _seconds(now, since=queue_lag.oldest_due_at(now=now) or now),
            "workers": [
                {"name": one.name, "queue": one.queue, "heartbeat_seconds_ago": _seconds(now, since=one.last_seen_at)}
                for one in known
            ],
            "missing_workers": list(workers.queues_without_workers(known, now=now)),
        }
    is_ready = report["database"] == "ok" and "error" not in report["queue"] and not report["missing_workers"]
    return Response({"status": "ok" if is_ready else "unavailable", **report}, status=200 if is_ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as exc:
        return type(exc).__name__
    return "ok"


def _queue() -> dict[str, Any]:
    try:
        depth = {name: task_queue.depth(name) for name in workers.QUEUES}
    except (RedisError, DatabaseError) as exc:
        return {"error": type(exc).__name__}
    return {"broker": "redis" if settings.REDIS_URL else "database", "waiting": depth}


def _seconds(now: datetime, *, since: datetime) -> int:
    return int((now - since).total_seconds())
