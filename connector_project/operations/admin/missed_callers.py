"""The missed-callers board of a client, and the page to choose a client."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import local_dates
from connector_project.core.admin.base import BaseAdmin, page
from connector_project.operations.admin.statistics import choose_days
from telephony import access_log, number_search
from telephony.missed_callers import queries
from telephony.missed_callers.queries import USER, MissedCallerBoard
from telephony.missed_callers.waits import UNASSIGNED_OWNER, MissedCaller
from tenants import datetime_display, permissions
from tenants.models import CrmUser, Tenant
from tenants.visibility import visible_to

PERIODS = (1, 7, 30, 90)  # local days up to today: the last missed call is within them
DEFAULT_DAYS = 7
PAGE_SIZE = 50  # rows per page
ORDERS = {"waiting": _("longest waiting first"), "newest": _("latest call first")}
UNASSIGNED = "nobody"  # query value for callers without an owner
LONG = timedelta(days=1)
MINUTE = timedelta(minutes=1)


# The query parameter of each list's page, whether all its calls came outside business hours, title and description.
LISTS = (
    ("page", False, _("Missed in business hours"), _("At least one call came in business hours.")),
    ("after", True, _("Only outside business hours"), _("All calls came outside business hours.")),
)


class MissedMixin(BaseAdmin):
    """Adds a missed-callers board to each client, and a page to choose a client."""

    @page("missed-callers/", name="tenants_missed_callers", permission="telephony.view_call")
    def missed_choice_view(self, request: HttpRequest) -> HttpResponse:
        tenants = visible_to(Tenant.objects.filter(offboarded_at=None).only("name"), request.user)
        clients = Paginator(tenants, PAGE_SIZE)
        page_of_clients = clients.get_page(request.GET.get("page"))
        return self._page(request, clients=page_of_clients, subtitle=_("choose a client"))

    @page("<int:tenant_id>/missed-callers/", name="tenants_tenant_missed_callers", permission="telephony.view_call")
    def missed_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show the board; log the access if the user sees full numbers."""
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "rule_version"), pk=tenant_id)
        return self._page(request, tenant=tenant, subtitle=str(tenant), **_board(request, tenant))

    def _page(self, request: HttpRequest, **context: Any) -> HttpResponse:
        template = "admin/tenants/missed_callers/page.html"
        return self.render_page(request, template, title=_("Missed callers"), **context)


def _board(request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
    now, params = timezone.now(), request.GET
    days, periods = choose_days(request, PERIODS, default=DEFAULT_DAYS)
    order = params["order"] if params.get("order", "") in ORDERS else "waiting"
    first_day = local_dates.day_of(now, zone=tenant.zone) - (days - 1) * local_dates.DAY
    since, chosen = local_dates.begin(first_day, zone=tenant.zone), params.get("owner", "")
    board = queries.load_board(tenant, now=now)
    recent = [wait for wait in board.waiting if wait.last_at >= since]
    names = _names(tenant, board)
    selected = _of_owner(recent, chosen)
    if order == "newest":
        selected.sort(key=lambda wait: wait.last_at, reverse=True)
    return {
        "periods": periods,
        "orders": [(name, label, name == order) for name, label in ORDERS.items()],
        "days": days,
        "order": order,
        "owners": _owners(recent, names, chosen),
        "owner": chosen,
        "parts": _lists(request, tenant, selected, names, now=now),
        "summary": _summary(selected, _of_owner(board.closed_today, chosen), board, since=since, now=now),
        "is_truncated": board.is_truncated,
        "max_calls": queries.MAX_MISSED_CALLS,
        "lookback_days": queries.LOOKBACK,
    }


def _lists(
    request: HttpRequest, tenant: Tenant, waits: Sequence[MissedCaller], names: Mapping[str, str], *, now: datetime
) -> list[tuple[Any, ...]]:
    """Return the name, texts, page and rows of each list; log the access to the numbers on their pages."""
    pages = []
    for name, is_after_hours, _title, _description in LISTS:
        paginator = Paginator([wait for wait in waits if wait.is_after_hours == is_after_hours], PAGE_SIZE)
        pages.append(paginator.get_page(request.GET.get(name)))
    shown = [wait for page in pages for wait in page]
    _log_access(request, tenant, shown, now=now)
    attempts = queries.callback_attempts(tenant, shown)

    def row(wait: MissedCaller) -> dict[str, Any]:
        return _row(request, tenant, wait, attempts[wait.contact], now=now) | {"owner": names[wait.owner]}

    return [
        (name, title, description, page, [row(wait) for wait in page])
        for (name, _is_after_hours, title, description), page in zip(LISTS, pages, strict=True)
    ]


def _log_access(request: HttpRequest, tenant: Tenant, shown: Sequence[MissedCaller], *, now: datetime) -> None:
    """Log access to the full numbers of these callers."""
    if isinstance(request.user, get_user_model()) and permissions.can_see_full_numbers(request.user):
        calls = [wait.last_call for wait in shown]
        access_log.note_numbers(tenant, calls, by=request.user, address=request.META.get("REMOTE_ADDR", ""), now=now)


def _of_owner(waits: Iterable[MissedCaller], chosen: str) -> list[MissedCaller]:
    owner = UNASSIGNED_OWNER if chosen == UNASSIGNED else chosen
    return [wait for wait in waits if not chosen or wait.owner == owner]


def _names(tenant: Tenant, board: MissedCallerBoard) -> Mapping[str, str]:
    """Return the owners' names. One query."""
    names = {owner: str(person) for owner, person in board.employees.items()}
    users = CrmUser.objects.filter(tenant=tenant)
    user_ids = {wait.owner.removeprefix(USER) for wait in board.waiting if wait.owner.startswith(USER)}
    named = {str(user.crm_id): str(user) for user in users.filter(crm_id__in=user_ids)}
    unknown = gettext("CRM user %(id)s")
    names |= {f"{USER}{user_id}": named.get(user_id) or unknown % {"id": user_id} for user_id in user_ids}
    return names | {UNASSIGNED_OWNER: gettext("unassigned")}


def _owners(waits: Iterable[MissedCaller], names: Mapping[str, str], chosen: str) -> list[tuple[str, str, int, bool]]:
    """Return the owners to filter by, with most callers first."""
    counts = Counter(wait.owner for wait in waits)
    owners = ((owner or UNASSIGNED, names[owner], count) for owner, count in counts.most_common())
    return [(owner, name, count, owner == chosen) for owner, name, count in owners]


def _summary(
    waiting: Sequence[MissedCaller],
    closed: Sequence[MissedCaller],
    board: MissedCallerBoard,
    *,
    since: datetime,
    now: datetime,
) -> list[tuple[Any, str]]:
    lengths = [(wait.answered_at - wait.first_at).total_seconds() for wait in closed if wait.answered_at]
    median_wait = _duration(now - timedelta(seconds=median(lengths)), now) if lengths else "–"
    return [
        (_("callers waiting"), str(len(waiting))),
        (_("of them only outside business hours"), str(sum(wait.is_after_hours for wait in waiting))),
        (_("of them longer than a day"), str(sum(now - wait.first_at > LONG for wait in waiting))),
        (_("closed today"), str(len(closed))),
        (_("waiting time, median"), median_wait),
        (_("calls with a hidden number"), str(sum(at >= since for at in board.hidden))),
    ]


def _row(
    request: HttpRequest, tenant: Tenant, wait: MissedCaller, attempts: Sequence[datetime], *, now: datetime
) -> dict[str, Any]:
    """Return one caller, ready for display."""
    # URLs stay in the browser's history: put no more of a number into them than the page shows.
    term = (
        wait.contact if permissions.can_see_full_numbers(request.user) else wait.contact[-number_search.SHOWN_DIGITS :]
    )
    query = {"q": term, "tenant__id__exact": tenant.pk}
    return {
        "number": permissions.number_formatter(request.user)(wait.contact),
        "calls": reverse("admin:telephony_call_changelist", query=query),
        "waiting": _duration(wait.first_at, now),
        "since": datetime_display.format_short(tenant, wait.first_at, now=now),
        "missed_count": wait.missed_count,
        "last_call": reverse("admin:telephony_call_change", args=[wait.last_call]),
        "last": datetime_display.format_short(tenant, wait.last_at, now=now),
        "callback_attempts": len(attempts),
        "last_callback_at": datetime_display.format_short(tenant, attempts[-1] if attempts else None, now=now),
    }


def _duration(since: datetime, till: datetime) -> str:
    return timesince(since, till) if till - since >= MINUTE else gettext("less than a minute")
