"""The rule "no events": no webhooks came for a time in which calls were to be expected."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, OuterRef, Subquery
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Responsible, Text
from connector_project.operations.alerts import incidents
from connector_project.operations.alerts.rule import Context, Key, Rule
from connector_project.operations.models import Incident, TrafficProfile
from connector_project.operations.models.traffic_profile import LONGEST
from telephony.models import Call, Notification
from tenants.access_errors import MISSING_RIGHTS
from tenants.models import Tenant

NO_EVENTS = "NO_EVENTS"
# No alert before this: it may be a restart or a slow network.
MIN_DURATION, MIN_DURATION_OF_ALL = timedelta(minutes=15), timedelta(minutes=5)
# Accept one false alarm in this many years, for each client and for the whole service.
FALSE_ALARM_YEARS = 10
SEVERAL = 3
# This many calls in UIS's report without an event are not a coincidence.
MIN_UNREPORTED_CALLS, UNREPORTED_PERIOD = 3, timedelta(hours=6)
# For clients without a profile: no events for this long within business hours.
OF_WORK = timedelta(hours=1)

# By what told it, and whether there has ever been an event.
_TEXTS: Mapping[tuple[str, bool], Text] = {
    ("all", True): _(
        "No events from any client since %(moment)s; about %(usual)s calls are usual in this time. "
        "Check that UIS can reach our address."
    ),
    ("report", True): _("UIS reports calls since %(moment)s (%(calls)s), but no events have come."),
    ("report", False): _("UIS reports calls (%(calls)s), but no events have come yet."),
    ("profile", True): _("No events since %(moment)s; about %(usual)s calls are usual in this time."),
    ("hours", True): _("No events since %(moment)s, including business hours: no calls reach us."),
    ("hours", False): _("No events yet, including business hours: no calls reach us."),
}


class NoEvents(Rule):
    kind = Incident.Kind.NO_EVENTS

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        last_events, unreported, previous = _last_events(), _count_unreported_calls(now), _open_contexts()
        newest = max(filter(None, last_events.values()), default=None)
        if found := missing_events_of_all(clients, since=newest, now=now):
            yield self.incident(NO_EVENTS, **found)
        for client in clients:
            last, calls = last_events.get(client.pk), unreported.get(client.pk, 0)
            if found := missing_events(client, last_event_at=last, unreported_calls=calls, now=now):
                yield self.incident(NO_EVENTS, client.pk, since=last, **found)
            # It lasts until an event comes, although its evidence may expire: reported calls age, profiles change.
            elif client.pk in previous and previous[client.pk].get("since") == (last and last.isoformat()):
                yield self.incident(NO_EVENTS, client.pk, **previous[client.pk])

    def text(self, incident: Incident, context: Context) -> str:
        by, has_events = context.get("by", "hours"), bool(context.get("since"))
        text = str(_TEXTS[by, has_events]) % context
        return text if by == "all" else f"{text} {gettext('UIS: Notifications.')}"

    def responsible(self, incident: Incident) -> Responsible:
        return Responsible.CLIENT

    def is_explained(self, key: Key, others: Collection[Key]) -> bool:
        """A client whose UIS connection is suspended gets no events; one missing right stops none."""
        client = key[0]
        return client is not None and any(
            pk == client and kind == Incident.Kind.ACCESS_DENIED and _is_suspension_of_uis(reason)
            for pk, kind, reason in others
        )


def _is_suspension_of_uis(reason: str) -> bool:
    system, _, code = reason.partition(":")
    return system == "uis" and code not in MISSING_RIGHTS


def missing_events(
    client: Tenant, *, last_event_at: datetime | None, unreported_calls: int = 0, now: datetime
) -> Context | None:
    """Return how a client's missing events were noticed, or None. The only place that decides it."""
    activated_at = client.activated_at or now
    since = max(last_event_at or activated_at, activated_at)
    if now - since < MIN_DURATION:
        return None
    if unreported_calls >= MIN_UNREPORTED_CALLS:
        return {"by": "report", "calls": unreported_calls}
    profile = _profile(client)
    if profile is None or last_event_at is None:
        at_work = client.business_hours.longest_overlap(max(since, now - LONGEST), now, zone=client.zone)
        return {"by": "hours"} if at_work >= OF_WORK else None
    expected = profile.expected_calls(since, now)
    if is_unlikely(expected, profile.weeks, yearly=profile.yearly):
        return {"by": "profile", "usual": round(expected / profile.weeks)}
    return None


def missing_events_of_all(clients: Sequence[Tenant], *, since: datetime | None, now: datetime) -> Context | None:
    """Find missing events of all clients together, long before they are unlikely for any single client.

    `since` is when the last event of any client came, paused ones included.
    """
    profiles = [profile for profile in map(_profile, clients) if profile]
    if since is None or now - since < MIN_DURATION_OF_ALL:
        return None
    usual = sorted(profile.expected_calls(since, now) / profile.weeks for profile in profiles)
    if sum(count > 0 for count in usual) < SEVERAL:
        return None
    # Without the busiest client, whose missing events may be their own problem.
    weeks, yearly = min(profile.weeks for profile in profiles), sum(profile.yearly for profile in profiles)
    if is_unlikely(sum(usual[:-1]) * weeks, weeks, yearly=yearly):
        return {"since": since, "by": "all", "usual": round(sum(usual))}
    return None


def chance(count: float, weeks: int) -> float:
    """Return the probability of no calls in hours that had `count` calls in `weeks` weeks.

    Calls follow a Poisson distribution whose rate is itself estimated from these weeks only: four weeks with one call
    each do not guarantee one. With many weeks this approaches exp(-count / weeks).
    """
    return float((weeks / (weeks + 1)) ** count)


def is_unlikely(count: float, weeks: int, *, yearly: float) -> bool:
    """Return whether this happens by chance less than once in ten years, given the yearly number of calls."""
    return chance(count, weeks) * max(yearly, 1) * FALSE_ALARM_YEARS < 1


def _profile(client: Tenant) -> TrafficProfile | None:
    """Return a client's profile, if it is based on enough weeks."""
    profile: TrafficProfile | None = getattr(client, "traffic_profile", None)
    return profile if profile and profile.weeks else None


def _last_events() -> dict[int, datetime | None]:
    """Return when the last event of each client came, of those too that are not live."""
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    return dict(Tenant.objects.order_by().values_list("pk", Subquery(newest)))


def _open_contexts() -> dict[int, Context]:
    """Return the contexts of the clients' unresolved incidents."""
    found = incidents.unresolved().filter(kind=Incident.Kind.NO_EVENTS, tenant__isnull=False)
    return dict(found.order_by().values_list("tenant", "context"))


def _count_unreported_calls(now: datetime) -> dict[int, int]:
    """Count the calls known only from UIS's report that no notification has followed."""
    later = Notification.objects.filter(tenant=OuterRef("tenant"), received_at__gte=OuterRef("started_at"))
    found = Call.objects.filter(
        ~Exists(later),
        origin=Call.Origin.REPORT,
        is_internal=False,
        started_at__gte=now - UNREPORTED_PERIOD,
        tenant__activated_at__lte=F("started_at"),
    )
    return dict(found.order_by().values_list("tenant").annotate(Count("pk")))
