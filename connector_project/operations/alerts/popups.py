"""The alert rule of pop-ups that came late, or not at all, for employees who have a CRM user and whose phone rang."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Responsible, Text
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from connector_project.operations.alerts.rates import begins, high_failure_rate
from connector_project.operations.alerts.rule import Context, Key, Rule
from connector_project.operations.models import Incident
from crm.models import Popup
from telephony.models import Call, Notification
from telephony.models.notification import POPUP_FAULTS
from telephony.uis.types import Event
from tenants.models import Employee, Tenant

Kind, Reason = Incident.Kind, Notification.Reason
LATE_AFTER = timedelta(seconds=5)
# What is told of a call may still come.
SETTLED_AFTER = timedelta(minutes=5)
MOST_CALLS = 5000  # the newest: more say nothing new
LATE, NOT_TOLD, UIS_LATE = "LATE_", "NOT_TOLD", "UIS_LATE"
_RINGS = (Event.WAITING, Event.OUTGOING)
Counts = Mapping[tuple[int, str], Sequence[int]]  # client and cause: how many in each period


def _duration(end: str, begin: str) -> "ExpressionWrapper[Any]":
    return ExpressionWrapper(F(end) - F(begin), output_field=DurationField())


# What became of a pop-up; of a late one, which system took longest.
_OUTCOME = Case(
    When(state=Popup.State.FAILED, then=Value(Reason.CRM_FAILED.value)),
    When(total__lte=LATE_AFTER, then=Value("")),
    When(Q(uis__gte=F("connector")) & Q(uis__gte=F("crm_took")), then=Value(f"{LATE}UIS")),
    When(connector__gte=F("crm_took"), then=Value(f"{LATE}CONNECTOR")),
    When(total__gt=LATE_AFTER, then=Value(f"{LATE}CRM")),
    default=Value(""),
)
_CAUSE = Case(When(reason=Reason.STALE, uis__gt=LATE_AFTER, then=Value(UIS_LATE)), default=F("reason"))


class Popups(Rule):
    kind = Kind.POPUPS
    resolved_text = _("Pop-ups open in time again.")
    texts: Mapping[str, tuple[Text, Responsible]] = {
        f"{LATE}UIS": (_("UIS notified us late"), Responsible.UIS),
        f"{LATE}CONNECTOR": (_("the connector was slow"), Responsible.OPERATOR),
        f"{LATE}CRM": (_("the CRM took long to accept them"), Responsible.CRM),
        UIS_LATE: (_("UIS notified us too late"), Responsible.UIS),
        Reason.STALE: (_("the connector read the notifications too late"), Responsible.OPERATOR),
        Reason.CRM_AWAY: (_("the CRM did not answer"), Responsible.CRM),
        Reason.CRM_FAILED: (_("the CRM did not accept them"), Responsible.CRM),
        Reason.CRM_DENIED: (_("the CRM rejects our access"), Responsible.CLIENT),
        Reason.INTERNAL_ERROR: (_("an error of the connector"), Responsible.DEVELOPERS),
        NOT_TOLD: (
            _("UIS sends no notification when a phone rings; the client's page shows how to set it up"),
            Responsible.CLIENT,
        ),
    }

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        """Find the clients of whom many pop-ups have the same fault. Five queries, whatever there is."""
        shown, faults = _popups(now=now), _dropped(now=now)
        totals: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for (pk, _cause), counts in (*shown.items(), *faults.items()):
            totals[pk] = [total + count for total, count in zip(totals[pk], counts, strict=True)]
        for (pk, cause), counts in (*shown.items(), *faults.items()):
            if cause and (context := high_failure_rate(counts, totals[pk])):
                yield self.incident(cause, pk, **context)
        for pk, counts, rung in _not_told(now=now):
            if context := high_failure_rate(counts, rung):
                yield self.incident(NOT_TOLD, pk, **context)

    def text(self, incident: Incident, context: Context) -> str:
        why, _responsible = self.texts.get(incident.reason, ("", Responsible.OPERATOR))
        text = gettext("%(failed)s of %(of)s pop-ups did not open in the last %(hours)s h: %(why)s.")
        if incident.reason.startswith(LATE):
            text = gettext(
                "%(failed)s of %(of)s pop-ups opened more than %(seconds)s s after the ring in the last %(hours)s h: "
                "%(why)s."
            )
        return text % (context | {"why": why, "seconds": round(LATE_AFTER.total_seconds())})

    def responsible(self, incident: Incident) -> Responsible:
        return self.texts.get(incident.reason, ("", Responsible.OPERATOR))[1]

    def is_explained(self, key: Key, others: Collection[Key]) -> bool:
        """Slow work is explained by missing workers, a refused pop-up by the denial, and untold rings by no events."""
        explains = {
            f"{LATE}CONNECTOR": (Kind.WORKER, Kind.BACKLOG),
            Reason.STALE: (Kind.WORKER, Kind.BACKLOG),
            Reason.CRM_DENIED: (Kind.ACCESS_DENIED,),
            Reason.CRM_FAILED: (Kind.ACCESS_DENIED,),
            NOT_TOLD: (Kind.NO_EVENTS, Kind.FLOOD, Kind.REVOKED_URLS),
        }.get(key[2], ())
        return any(kind in explains and pk in {None, key[0]} for pk, kind, _reason in others)


def _popups(*, now: datetime) -> Counts:
    """Count the pop-ups of all clients by what became of them; "" for those in time."""
    return {(pk, outcome): counts for pk, outcome, *counts in _POPUPS.fetch(now=now)}


def _by_outcome(given: Placeholders) -> Any:
    recent, day = begins(given.moment("now"))
    rows = Popup.objects.filter(received_at__gte=day).order_by()
    timed = rows.annotate(
        uis=_duration("received_at", "ringing_at"),
        connector=_duration("sent_at", "received_at"),
        crm_took=_duration("accepted_at", "sent_at"),
        total=_duration("accepted_at", "ringing_at"),
    )
    grouped = timed.annotate(outcome=_OUTCOME).values_list("tenant", "outcome")
    return grouped.annotate(lately=Count("pk", filter=Q(received_at__gte=recent)), in_a_day=Count("pk"))


_POPUPS: CompiledSelect[tuple[Any, ...]] = CompiledSelect(_by_outcome)


def _dropped(*, now: datetime) -> Counts:
    """Count the rings whose pop-up was dropped by a fault; few rows, which have an index of their own."""
    return {(pk, cause): counts for pk, cause, *counts in _DROPPED.fetch(now=now)}


def _by_cause(given: Placeholders) -> Any:
    recent, day = begins(given.moment("now"))
    linked = Employee.objects.linked().filter(tenant=OuterRef("tenant"), uis_id=OuterRef("employee_uis_id"))
    rows = Notification.objects.filter(POPUP_FAULTS, Exists(linked), received_at__gte=day, event__in=_RINGS)
    # A rejected one has a row among the pop-ups.
    causes = rows.exclude(reason__in=[Reason.CRM_FAILED, Reason.UNKNOWN_EMPLOYEE, Reason.NOT_LINKED]).order_by()
    timed = causes.annotate(uis=_duration("received_at", "happened_at")).annotate(cause=_CAUSE)
    return timed.values_list("tenant", "cause").annotate(
        lately=Count("session_id", filter=Q(received_at__gte=recent), distinct=True),
        in_a_day=Count("session_id", distinct=True),
    )


_DROPPED: CompiledSelect[tuple[Any, ...]] = CompiledSelect(_by_cause)


def _not_told(*, now: datetime) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield each live client with the calls that rang a linked employee and were not told, and all that rang."""
    rows = _UNTOLD.fetch(now=now)
    if not rows:
        return
    recent, _day = begins(now)
    named = {uis_id for _pk, _at, ids in rows for uis_id in ids}
    staff = Employee.objects.linked().filter(tenant__in={pk for pk, *_row in rows}, uis_id__in=named)
    linked = set(staff.values_list("tenant", "uis_id"))
    starts = [(pk, at) for pk, at, ids in rows if any((pk, uis_id) in linked for uis_id in ids)]
    of_day, lately = Counter(pk for pk, _at in starts), Counter(pk for pk, at in starts if at >= recent)
    rung = _rung(now).filter(tenant__in=of_day).order_by().values_list("tenant")
    for pk, *totals in rung.annotate(lately=Count("pk", filter=Q(started_at__gte=recent)), in_a_day=Count("pk")):
        yield pk, [lately[pk], of_day[pk]], totals


def _rung(now: Any) -> QuerySet[Call]:
    """Return the calls of a day that rang somebody of whom a notification should have told; also for a placeholder."""
    _recent, day = begins(now)
    return Call.objects.filter(
        tenant__in=Tenant.objects.live(),
        tenant__rule_version__rules__popup_incoming="ON_RING",
        started_at__gte=day,
        started_at__lt=now - SETTLED_AFTER,
        started_at__gt=F("tenant__activated_at"),
        direction="in",
        is_internal=False,
        origin=Call.Origin.WEBHOOK,  # of one that only the report has, nothing was told: the alert of no events
    ).exclude(rung_employee_ids=[])


def _untold(given: Placeholders) -> Any:
    same = {"tenant": OuterRef("tenant"), "session_id": OuterRef("session_id")}
    untold = _rung(given.moment("now")).filter(
        ~Exists(Popup.objects.filter(**same)), ~Exists(Notification.objects.filter(**same, event__in=_RINGS))
    )
    return untold.order_by("-started_at").values_list("tenant", "started_at", "rung_employee_ids")[:MOST_CALLS]


_UNTOLD: CompiledSelect[tuple[int, datetime, list[int]]] = CompiledSelect(_untold)
