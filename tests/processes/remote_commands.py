"""The commands that tests run inside an installation: each takes and returns JSON values."""

import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.core import task_queue
from connector_project.core.jobs import LeasedJob
from connector_project.core.models import LIVE_FOR, WorkerHeartbeat
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.alerts import minute_peaks
from connector_project.operations.models import AlertDelivery, Incident, TrafficProfile
from connector_project.operations.onboarding import steps
from crm import integration_module
from crm import tasks as crm_tasks
from crm.models import Command, Popup
from telephony import tasks
from telephony.models import BulkAction, Call, CallLogEntry, Notification
from tenants import onboarding
from tenants.models import AuditLogEntry, CrmConnection, Tenant, UisConnection
from tenants.rules import RecordingKind
from tests.processes.client_copies import add_copies, slug_of
from tests.processes.foreign_entries import push_foreign_entries, queue_depths
from tests.rules import publish_rules_for_all

CONCURRENT_ADDITIONS = 8


def _delete_rows() -> None:
    """Delete all calls and events, as the vendors do, or these calls would count as lost; restore all access."""
    for model in (CallLogEntry, Call, Notification, Command, Popup):
        model._default_manager.all().delete()
    access: dict[str, Any] = {"denied_at": None, "denials": {}, "consecutive_failures": 0, "retry_at": None}
    CrmConnection.objects.update(**access)
    UisConnection.objects.update(**access, legs_slot_at=None, data_limits={}, call_limits={})


def delete_all() -> None:
    """Delete all calls and events; retry, because a worker may still be writing."""
    for _try in range(10):
        with contextlib.suppress(IntegrityError, OperationalError):
            return _delete_rows()
        time.sleep(0.2)
    return _delete_rows()


def delete_clients() -> None:
    """Delete all clients with everything of theirs; the staff stay."""
    for model in (Incident, AlertDelivery, AuditLogEntry, LogEntry, BulkAction):
        model._default_manager.all().delete()
    delete_all()
    Tenant.objects.all().delete()


def execute(code: str) -> None:
    """Run Python code, as `manage.py shell -c` does in a process of its own."""
    exec(code, {})  # noqa: S102 -- written in the tests


def sweep() -> None:
    """Enqueue all due work, as the schedules do every minute."""
    tasks.enqueue_due_work()
    crm_tasks.enqueue_due_work()


def give_links(kind: str) -> None:
    """Let the CRM get this kind of recording links: "UIS" or "OURS"."""
    publish_rules_for_all(recording_link=RecordingKind[kind])


def run(task: str) -> None:
    """Run another scheduled task, such as "telephony.reconcile"."""
    modules = {"telephony": tasks, "crm": crm_tasks, "operations": operations_tasks}
    getattr(modules[task.partition(".")[0]], task.partition(".")[2])()


def rows() -> dict[str, Any]:
    """Return the state of the connector's own rows."""
    return {
        "calls": [[call.session_id, call.state] for call in Call.objects.order_by("session_id")],
        "commands": [[command.state, command.reason] for command in Command.objects.order_by("pk")],
        "notifications": Notification.objects.count(),
    }


def calls(client: int) -> dict[str, list[str]]:
    """Return state, reason, skip reason and whether it failed, of each call of one client, by its session."""
    chosen = Call.objects.filter(tenant__slug=slug_of(client))
    return {
        str(call.session_id): [call.state, call.reason, call.skip_reason, "FAILED" if call.failed_at else ""]
        for call in chosen
    }


def count_open(sessions: list[tuple[int, list[int]]]) -> int:
    """Return how many of these calls, given by client, are neither uploaded nor skipped, or have no row."""
    ended = [Call.State.UPLOADED, Call.State.SKIPPED]
    return sum(
        len(sessions_of_client)
        - Call.objects.filter(tenant__slug=slug_of(client), session_id__in=sessions_of_client, state__in=ended).count()
        for client, sessions_of_client in sessions
    )


def count_states() -> dict[str, int]:
    """Return the number of calls in each state."""
    return dict(Counter(Call.objects.values_list("state", flat=True)))


def is_any_ready() -> bool:
    """Return whether a call waits for its upload, or is being uploaded."""
    return Call.objects.filter(state=Call.State.READY).exists()


def count_queued() -> int:
    """Return the number of entries in both queues."""
    return int(task_queue.depth("default") + task_queue.depth("fast"))


def unfinished() -> list[str]:
    """Describe everything that waits, for the message of a failed test."""
    return [
        f"now {timezone.now()}, queued {count_queued()}",
        *(
            f"notification {stored.session_id} {stored.outcome}: {_attempts(stored)}"
            for stored in Notification.objects.exclude(next_attempt_at=None)
        ),
        *(
            f"call {call.session_id} {call.state} {call.reason}: {_attempts(call)}"
            for call in Call.objects.exclude(next_attempt_at=None)
        ),
        *(
            f"{connection}: {connection.consecutive_failures} failures, next attempt {connection.retry_at}"
            for model in (UisConnection, CrmConnection)
            for connection in model.objects.filter(consecutive_failures__gt=0)
        ),
    ]


def _attempts(job: LeasedJob) -> str:
    return f"{job.attempts} attempts, next {job.next_attempt_at}{', claimed' if job.claim_token else ''}"


def count_claimed() -> int:
    """Return how many calls a worker is working on now."""
    return Call.objects.exclude(claim_token=None).count()


def open_popups() -> int:
    """Return how many pop-ups the connector assumes to be open or opening."""
    return Popup.objects.filter(state__in=[Popup.State.OPENING, Popup.State.OPEN]).count()


def reconcile(clients: list[int], since: str, till: str) -> list[dict[str, Any]]:
    """Return the output of `reconcile_calls` for each client."""
    results = []
    for client in clients:
        out = io.StringIO()
        options = {"tenant": slug_of(client), "since": since, "till": till, "stdout": out, "stderr": io.StringIO()}
        call_command("reconcile_calls", **options)
        results.append(json.loads(out.getvalue().splitlines()[-1]))
    return results


def add(new: list[tuple[int, str, str, str, str]]) -> list[str]:
    """Add and activate clients, in parallel because of the rate limits; return their webhook URLs."""
    with ThreadPoolExecutor(CONCURRENT_ADDITIONS) as pool:
        return list(pool.map(lambda one: _add(*one), new))


def _add(client: int, token: str, crm_url: str, crm_key: str, number: str) -> str:
    new = onboarding.NewTenant(
        name="Demo" if client == 0 else f"Client {client}",
        slug=slug_of(client),
        uis_token=token,
        crm_url=crm_url,
        crm_key=crm_key,
        default_number=number,
    )
    try:
        steps.activate(onboarding.create_tenant(new, now=timezone.now()), now=timezone.now())
        return hook(client)
    finally:
        connection.close()


def hook(client: int) -> str:
    """Return the client's webhook URL."""
    return str(integration_module.addresses(Tenant.objects.get(slug=slug_of(client)))["notifications"])


def denied_codes(client: int) -> list[str]:
    """Return the codes of denied access, of UIS and of the CRM; empty if access works."""
    tenant = Tenant.objects.select_related("uis", "crm").get(slug=slug_of(client))
    return [tenant.uis.denied_code, tenant.crm.denied_code]


def stopped_workers() -> int:
    """Return how many heartbeats are too old: after a jump of the clock all, until the workers have beaten again."""
    return WorkerHeartbeat.objects.filter(last_seen_at__lte=timezone.now() - LIVE_FOR).count()


def consecutive_failures(client: int) -> list[int]:
    """Return the consecutive failures, of UIS and of the CRM."""
    tenant = Tenant.objects.select_related("uis", "crm").get(slug=slug_of(client))
    return [tenant.uis.consecutive_failures, tenant.crm.consecutive_failures]


def store_ready(client: int, count: int) -> None:
    """Store missed calls that are ready for upload."""
    tenant, moment = Tenant.objects.get(slug=slug_of(client)), timezone.now()
    last = Call.objects.order_by("-session_id").values_list("session_id", flat=True).first() or 0
    Call.objects.bulk_create(
        Call(
            tenant=tenant,
            session_id=last + number,
            state=Call.State.READY,
            direction="in",
            contact=f"7999{number % 10_000_000:07d}",
            number="74950000001",
            started_at=moment - timedelta(seconds=30),
            ended_at=moment - timedelta(seconds=20),
            is_lost=True,
            result="NO_ANSWER",
            retry_window_started_at=moment,
            next_attempt_at=moment,
        )
        for number in range(1, count + 1)
    )


def lose_queue() -> int:
    """Delete all tasks that are queued in the database."""
    return int(OrmQ.objects.all().delete()[0])


def received(event: str) -> dict[str, float]:
    """Return when the notifications of an event were stored, by session."""
    stored = Notification.objects.filter(event=event).values_list("session_id", "received_at")
    return {str(session): moment.timestamp() for session, moment in stored}


def set_busiest_minute(client: int, count: int) -> None:
    """Set how many notifications a client is known to send in its busiest minute, for its limit.

    As if it was learned: the schedule, which may learn it anew at any time, finds the same.
    """
    tenant, today = Tenant.objects.get(slug=slug_of(client)), timezone.now().astimezone(UTC).date()
    days = [today - timedelta(days=number) for number in range(1, minute_peaks.LEARNED_DAYS + 1)]
    peaks = {str(day): count for day in days}
    learned = {"minute_peaks": peaks, "first_day": days[-1], "updated_at": timezone.now()}
    TrafficProfile.objects.update_or_create(tenant=tenant, defaults=learned)
    UisConnection.objects.filter(tenant=tenant).update(busiest_minute=count)


def count_received(client: int) -> int:
    """Return how many notifications of a client wait for their first worker."""
    return Notification.objects.filter(tenant__slug=slug_of(client), outcome=Notification.Outcome.RECEIVED).count()


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        delete_all,
        delete_clients,
        execute,
        sweep,
        give_links,
        run,
        rows,
        calls,
        count_open,
        count_states,
        is_any_ready,
        count_queued,
        unfinished,
        count_claimed,
        open_popups,
        reconcile,
        add,
        add_copies,
        hook,
        denied_codes,
        consecutive_failures,
        stopped_workers,
        store_ready,
        lose_queue,
        push_foreign_entries,
        queue_depths,
        received,
        set_busiest_minute,
        count_received,
    )
}
