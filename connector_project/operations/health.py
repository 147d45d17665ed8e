"""Liveness and readiness endpoints: anybody learns the status, monitors with the token also the reasons."""

import hmac
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import RedisError

from connector_project.core import task_queue, workers
from connector_project.core.middleware import is_local
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations import queue_lag

OK, UNAVAILABLE = "ok", "unavailable"
# Strangers cost a query every few seconds, however often they ask.
CACHED_SECONDS = 5
CACHE_KEY = "health-status"


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if this process is alive; checks nothing else."""
    return JsonResponse({"status": OK})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Report the state of database, queue and workers, and the age of the oldest due work; 503 if one is down."""
    if may_read_details(request):
        report = _report(now=timezone.now())
    else:
        report = {"status": cache.get(CACHE_KEY) or _cached_status()}
    return JsonResponse(report, status=200 if report["status"] == OK else 503)


def may_read_details(request: HttpRequest) -> bool:
    """Return whether the request has METRICS_TOKEN, or comes from this machine or the proxies' networks."""
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return is_local(request)


def _cached_status() -> str:
    status: str = _report(now=timezone.now())["status"]
    cache.set(CACHE_KEY, status, CACHED_SECONDS)
    return status


def _report(*, now: datetime) -> dict[str, Any]:
    report: dict[str, Any] = {"database": _database()}
    if report["database"] == OK:
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
    is_ready = report["database"] == OK and "error" not in report["queue"] and not report["missing_workers"]
    return {"status": OK if is_ready else UNAVAILABLE, **report}


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as exc:
        return type(exc).__name__
    return OK


def _queue() -> dict[str, Any]:
    try:
        depth = {name: task_queue.depth(name) for name in workers.QUEUES}
    except (RedisError, DatabaseError) as exc:
        return {"error": type(exc).__name__}
    return {"broker": "redis" if settings.REDIS_URL else "database", "waiting": depth}


def _seconds(now: datetime, *, since: datetime) -> int:
    return int((now - since).total_seconds())
