"""The alert rules with their thresholds, and the problems that all of them find."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from django.db.models import Count, Max, Min, Q, Sum
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import workers
from connector_project.core.check_results import Responsible, Text
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.operations import queue_lag
from connector_project.operations.alerts import denials
from connector_project.operations.alerts.access import ReconnectionAsked, RevokedUrls
from connector_project.operations.alerts.failing_checks import FailingChecks
from connector_project.operations.alerts.late_answers import LateAnswers
from connector_project.operations.alerts.no_events import NoEvents
from connector_project.operations.alerts.popups import Popups
from connector_project.operations.alerts.rates import begins, high_failure_rate
from connector_project.operations.alerts.rule import Context, Key, Rule
from connector_project.operations.alerts.unlinked_employees import UnlinkedEmployees
from connector_project.operations.alerts.webhook_intake import NotificationFlood, UnexpectedSource
from connector_project.operations.models import Incident
from telephony.models import Call, DailyReconciliation
from tenants import datetime_display
from tenants.models import RemoteList, Tenant

Kind = Incident.Kind

OVERDUE = "OVERDUE"
NO_DEFAULT_WORKER: Key = (None, Kind.WORKER, "NO_HEARTBEAT:default")
SHORT, INCOMPLETE, INCOMPLETE_AFTER = "SHORT", "INCOMPLETE", timedelta(hours=1)
OVERDUE_AFTER, AWAY_AFTER = timedelta(minutes=15), timedelta(minutes=30)
# A problem of this many clients, and of this share of all, is system-wide.
SEVERAL, MANY = 3, 0.5

SYSTEMS = {"uis": "UIS", "crm": "retailCRM"}
COUNTS = ("calls", "usual", "failed", "of")


class NoWorker(Rule):
    kind = Kind.WORKER
    texts: Mapping[str, Text] = {
        "default": _("No worker processes calls, syncs and schedules: nothing is uploaded."),
        "fast": _(
            "No worker reads notifications and clicks: no pop-up opens, no new call is uploaded, no click starts a "
            "call."
        ),
    }

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for queue, heartbeat_at in workers.find_queues_without_workers(now=now).items():
            yield self.incident(f"NO_HEARTBEAT:{queue}", queue=queue, since=heartbeat_at)

    def text(self, incident: Incident, context: Context) -> str:
        heartbeat = gettext("No heartbeat since %(moment)s.") if context.get("since") else gettext("No heartbeat.")
        return f"{self.texts.get(context.get('queue', ''), '')} {heartbeat % context}".strip()


class AccessIsDenied(Rule):
    kind = Kind.ACCESS_DENIED

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for system, connections in denials.denied_connections():
            for connection in connections:
                for one in denials.of_connection(connection):
                    context: Context = {"side": system, "code": one.code, "since": one.since}
                    if one.rights:
                        context["rights"] = list(one.rights)
                    yield self.incident(f"{system}:{one.code}"[:80], connection.tenant_id, **context)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext("%(system)s has denied access since %(moment)s.")
        text %= context | {"system": SYSTEMS.get(context.get("side", ""), "?")}
        code = context.get("code", "")
        return f"{text} {denials.describe(code, code, rights=context.get('rights', ()))}".strip()

    def responsible(self, incident: Incident) -> Responsible:
        return denials.responsible(incident.context.get("code", ""))


class Backlog(Rule):
    kind = Kind.BACKLOG

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for pk, since in queue_lag.by_client(now=now).items():
            if now - since >= OVERDUE_AFTER:
                yield self.incident(OVERDUE, pk, since=since)
        for pk, reason, since, count in queue_lag.waiting_for_vendors():
            if now - since >= AWAY_AFTER:
                yield self.incident(reason, pk, since=since, calls=count)

    def text(self, incident: Incident, context: Context) -> str:
        if incident.reason == OVERDUE:
            return gettext("Tasks have been due since %(moment)s, but no worker has processed them.") % context
        return gettext("Calls are waiting (%(calls)s), the oldest since %(moment)s: %(reason)s.") % context

    def is_explained(self, key: Key, others: Collection[Key]) -> bool:
        """Work is overdue when no worker takes it."""
        return key[2] == OVERDUE and any(kind == Kind.WORKER for _pk, kind, _reason in others)


class FailureRate(Rule):
    kind = Kind.FAILURE_RATE
    resolved_text = _("Calls no longer fail. Retry those that failed.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        recent, day = begins(now)
        counts = {"recent": Count("pk", filter=Q(started_at__gte=recent)), "in_a_day": Count("pk")}
        calls = Call.objects.filter(started_at__gte=day).order_by()
        failed = list(calls.filter(failed_at__gte=day).values_list("tenant", "reason").annotate(**counts))
        # No rule has skipped them; only of clients that have failed calls.
        not_skipped = calls.exclude(state=Call.State.SKIPPED).filter(tenant__in={pk for pk, *_row in failed})
        totals = {pk: of for pk, *of in not_skipped.values_list("tenant").annotate(**counts)}
        for pk, reason, *failed_counts in failed:
            if pk in totals and (context := high_failure_rate(failed_counts, totals[pk])):
                yield self.incident(reason, pk, **context)

    def text(self, incident: Incident, context: Context) -> str:
        return gettext("%(failed)s of %(of)s calls failed in the last %(hours)s h: %(reason)s.") % context


class UnexplainedCalls(Rule):
    kind = Kind.UNEXPLAINED

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        days = DailyReconciliation.objects.filter(unexplained__gt=0).order_by().values_list("tenant")
        for pk, calls, first, last in days.annotate(Sum("unexplained"), Min("day"), Max("day")):
            yield self.incident("NOT_IN_REPORT", pk, calls=calls, first=first, last=last)

    def text(self, incident: Incident, context: Context) -> str:
        days = dict.fromkeys(
            date_format(date.fromisoformat(context[name]), datetime_display.DAY) for name in ("first", "last")
        )
        text = gettext("Unexplained calls in UIS's report: %(calls)s (%(days)s).")
        return text % (context | {"days": " – ".join(days)})

    def responsible(self, incident: Incident) -> Responsible:
        return Responsible.DEVELOPERS


class ShortList(Rule):
    """A vendor's list that cannot be believed, so that what it lacks is kept."""

    kind = Kind.SHORT_LIST

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        unbelievable = Q(short_since__isnull=False, accepted_at=None)
        incomplete = Q(incomplete_since__lte=now - INCOMPLETE_AFTER)
        for row in RemoteList.objects.filter(unbelievable | incomplete).order_by("pk"):
            counts = {"known": row.known_count, "received": row.received_count}
            since = row.short_since or row.incomplete_since
            kind = SHORT if row.short_since else INCOMPLETE
            yield self.incident(f"{kind}:{row.kind}", row.tenant_id, list=row.kind, since=since, **counts)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "The list of %(list)s is incomplete since %(moment)s: the vendor sends fewer rows than it states. Nothing "
            "that is missing there is removed. If it lasts, ask the vendor's support."
        )
        if incident.reason.startswith(SHORT):
            text = gettext(
                "The list of %(list)s is much shorter since %(moment)s: %(received)s instead of %(known)s. Nothing was "
                "removed. Check the rights of the key. If the list is right, press “Accept the shorter list” on the "
                "client's page."
            )
        return text % (context | {"list": RemoteList.Kind(context["list"]).label})


RULES: Mapping[str, Rule] = {
    rule.kind: rule
    for rule in (
        *(NoWorker(), NoEvents(), AccessIsDenied(), Backlog(), FailureRate()),
        *(UnexplainedCalls(), LateAnswers(), ShortList()),
        *(RevokedUrls(), ReconnectionAsked()),
        *(NotificationFlood(), UnexpectedSource()),
        *(Popups(), UnlinkedEmployees(), FailingChecks()),
    )
}


# Only what a rule needs of each client: what few have is asked for by its rule.
_COLUMNS = (
    *("time_zone", "opens_at", "closes_at", "works_weekends", "activated_at"),
    *("traffic_profile__hours", "traffic_profile__weeks"),
)
_CLIENTS: CompiledSelect[Tenant] = CompiledSelect(
    lambda _given: Tenant.objects.live().order_by("pk").select_related("traffic_profile").only(*_COLUMNS)
)


def load_clients() -> list[Tenant]:
    """Return the live clients, with what the rules need to know of them."""
    return _CLIENTS.fetch()


def find_problems(clients: Sequence[Tenant], *, now: datetime) -> dict[Key, Incident]:
    """Return all problems of the service and of the live clients as unsaved incidents."""
    live = {None, *(client.pk for client in clients)}
    found = [
        one
        for rule in RULES.values()
        for one in rule.find_or_keep(clients, now=now)
        if one.tenant_id in live or not rule.concerns_live_clients
    ]
    return {one.key: one for one in (*group_system_wide(found, live=len(clients)), *found)}


def group_system_wide(found: Iterable[Incident], *, live: int) -> Iterator[Incident]:
    """Turn a problem that many clients share into one system-wide problem."""
    groups: dict[tuple[str, str], list[Incident]] = defaultdict(list)
    for incident in found:
        if incident.tenant_id is not None and RULES[incident.kind].concerns_live_clients:
            groups[incident.kind, incident.reason].append(incident)
    for (kind, reason), group in groups.items():
        # Overdue work is never one client's own fault.
        share = 0.0 if reason == OVERDUE else MANY
        if len(group) >= SEVERAL and len(group) >= share * live:
            context = _merge_contexts([one.context for one in group])
            yield RULES[kind].incident(reason, **context, clients=len(group), live=live)


def _merge_contexts(contexts: Sequence[Context]) -> Context:
    """Merge the contexts of several problems: the earliest time, and the sums of the counts."""
    since = [context["since"] for context in contexts if context.get("since")]
    counts = {name: sum(one.get(name, 0) for one in contexts) for name in COUNTS if name in contexts[0]}
    return contexts[0] | counts | ({"since": min(since)} if since else {})
