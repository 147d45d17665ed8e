"""The board of missed callers: of each client, and the page on which a client is chosen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from telephony import callers, days, looks
from telephony.callers import USER, Board
from telephony.missed import NOBODY, Wait
from tenants import clock, sight
from tenants.models import CrmUser, Tenant, User

PERIODS = (1, 7, 30, 90)  # local days, today among them: in which of them a caller was missed last
USUAL = 7
A_PAGE = 50  # callers; of clients there may be more, they are only names
ORDERS = {"waiting": _("waiting longest first"), "newest": _("called last first")}
NOBODYS = "nobody"  # how whose callers are nobody's is asked for
LONG = timedelta(days=1)
MINUTE = timedelta(minutes=1)
SHOWN_DIGITS = 4  # as many as stand behind the mask


@dataclass(frozen=True, kw_only=True)
class Row:
    """One caller, as he is shown."""

    number: str
    calls: str  # where his calls are listed
    last_call: str  # where the last of them is told
    owner: str
    waits: str
    since: str
    tries: int
    last: str
    called_back: int
    called_back_last: str


class MissedMixin(admin.ModelAdmin[Tenant]):
    """Gives each client's page a board of missed callers, and the first page of the admin a way to any of them."""

    def get_urls(self) -> list[URLPattern]:
        board, choice = (self.admin_site.admin_view(view) for view in (self.missed_view, self.missed_choice_view))
        ours = [
            path("missed/", choice, name="tenants_missed"),
            path("<int:tenant_id>/missed/", board, name="tenants_tenant_missed"),
        ]
        return [*ours, *super().get_urls()]

    def missed_choice_view(self, request: HttpRequest) -> HttpResponse:
        """List the clients, each with the way to his board."""
        self._check(request)
        clients = Paginator(Tenant.objects.filter(left_at=None).only("name"), A_PAGE)
        told = {"clients": clients.get_page(request.GET.get("page")), "subtitle": _("choose a client")}
        return self._page(request, told)

    def missed_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show who waits; whoever sees whole numbers is written down."""
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "rules"), pk=tenant_id)
        self._check(request, tenant)
        return self._page(request, {"tenant": tenant, "subtitle": str(tenant), **_board(request, tenant)})

    def _check(self, request: HttpRequest, tenant: Tenant | None = None) -> None:
        if not (self.has_view_permission(request, tenant) and request.user.has_perm("telephony.view_call")):
            raise PermissionDenied

    def _page(self, request: HttpRequest, told: Mapping[str, Any]) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Missed callers")}
        return TemplateResponse(request, "admin/tenants/missed.html", {**shared, **told})


def _board(request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
    now, asked = timezone.now(), request.GET
    length = int(asked["days"]) if asked.get("days", "") in map(str, PERIODS) else USUAL
    order = asked["order"] if asked.get("order", "") in ORDERS else "waiting"
    since = days.begin(days.day_of(now, zone=tenant.zone) - (length - 1) * days.DAY, zone=tenant.zone)
    board = callers.look(tenant, now=now)
    lately = [wait for wait in board.open if wait.last_at >= since]
    names = _names(tenant, board)
    chosen = asked.get("owner", "")
    mine = _ordered(_of_owner(lately, chosen), order)
    pages = {
        name: Paginator([wait for wait in mine if wait.is_after_hours == is_after_hours], A_PAGE).get_page(
            asked.get(name)
        )
        for name, is_after_hours in (("page", False), ("after", True))
    }
    shown = [wait for page in pages.values() for wait in page]
    _note_looks(request, tenant, shown, now=now)
    tries = callers.called_back(tenant, shown)
    rows = {
        name: [_row(request, tenant, wait, tries[wait.contact], names, now=now) for wait in page]
        for name, page in pages.items()
    }
    return {
        "periods": [(number, number == length) for number in PERIODS],
        "orders": [(name, label, name == order) for name, label in ORDERS.items()],
        "days": length,
        "order": order,
        "owners": _owners(lately, names, chosen),
        "owner": chosen,
        "parts": [
            (name, title, about, pages[name], rows[name])
            for name, title, about in (
                ("page", _("Missed in working hours"), _("At least one of their calls came in working hours.")),
                ("after", _("Only after hours"), _("Whenever they called, the client was closed.")),
            )
        ],
        "facts": _facts(mine, _of_owner(board.over_today, chosen), board, since=since, now=now),
        "is_cut": board.is_cut,
        "most": callers.MOST,
        "looked_back": callers.LOOKED_BACK,
    }


def _note_looks(request: HttpRequest, tenant: Tenant, shown: Sequence[Wait], *, now: datetime) -> None:
    """Write down who sees the whole numbers of these callers."""
    if isinstance(request.user, User) and sight.may_see_whole(request.user):
        calls = [wait.last_call for wait in shown]
        looks.note_numbers(tenant, calls, by=request.user, address=request.META.get("REMOTE_ADDR", ""), now=now)


def _of_owner(waits: Iterable[Wait], chosen: str) -> list[Wait]:
    owner = NOBODY if chosen == NOBODYS else chosen
    return [wait for wait in waits if not chosen or wait.owner == owner]


def _ordered(waits: Sequence[Wait], order: str) -> Sequence[Wait]:
    return sorted(waits, key=lambda wait: wait.last_at, reverse=True) if order == "newest" else waits


def _names(tenant: Tenant, board: Board) -> Mapping[str, str]:
    """Return what the owners are called. One query."""
    names = {owner: str(person) for owner, person in board.people.items()}
    users = CrmUser.objects.filter(tenant=tenant)
    asked = {wait.owner.removeprefix(USER) for wait in board.open if wait.owner.startswith(USER)}
    named = {str(user.crm_id): str(user) for user in users.filter(crm_id__in=asked)}
    stranger = gettext("CRM user %(id)s")
    names |= {f"{USER}{user_id}": named.get(user_id) or stranger % {"id": user_id} for user_id in asked}
    return names | {NOBODY: gettext("nobody's")}


def _owners(waits: Iterable[Wait], names: Mapping[str, str], chosen: str) -> list[tuple[str, str, int, bool]]:
    """Return whose callers can be asked for, who has most of them first."""
    counts = Counter(wait.owner for wait in waits)
    told = ((owner or NOBODYS, names[owner], count) for owner, count in counts.most_common())
    return [(owner, name, count, owner == chosen) for owner, name, count in told]


def _facts(
    waiting: Sequence[Wait], over: Sequence[Wait], board: Board, *, since: datetime, now: datetime
) -> list[tuple[Any, str]]:
    lengths = [(wait.over_at - wait.first_at).total_seconds() for wait in over if wait.over_at]
    usual = _lasting(now - timedelta(seconds=median(lengths)), now) if lengths else "–"
    return [
        (_("callers who wait"), str(len(waiting))),
        (_("of them only after hours"), str(sum(wait.is_after_hours for wait in waiting))),
        (_("of them longer than a day"), str(sum(now - wait.first_at > LONG for wait in waiting))),
        (_("closed today"), str(len(over))),
        (_("they waited, median"), usual),
        (_("calls with a hidden number"), str(sum(at >= since for at in board.hidden))),
    ]


def _row(
    request: HttpRequest,
    tenant: Tenant,
    wait: Wait,
    tries: Sequence[datetime],
    names: Mapping[str, str],
    *,
    now: datetime,
) -> Row:
    # An address stands in the browser's history: it holds no more of a number than the page shows.
    sought = wait.contact if sight.may_see_whole(request.user) else wait.contact[-SHOWN_DIGITS:]
    asked = urlencode({"q": sought, "tenant__id__exact": tenant.pk})
    return Row(
        number=sight.shown_to(request.user)(wait.contact),
        calls=f"{reverse('admin:telephony_call_changelist')}?{asked}",
        owner=names[wait.owner],
        waits=_lasting(wait.first_at, now),
        since=clock.said_at(tenant, wait.first_at, now=now),
        tries=wait.tries,
        last_call=reverse("admin:telephony_call_change", args=[wait.last_call]),
        last=clock.said_at(tenant, wait.last_at, now=now),
        called_back=len(tries),
        called_back_last=clock.said_at(tenant, tries[-1] if tries else None, now=now),
    )


def _lasting(since: datetime, till: datetime) -> str:
    """Return how long it is, in words."""
    return timesince(since, till) if till - since >= MINUTE else gettext("less than a minute")
