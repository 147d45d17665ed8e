"""Admin list of calls, with search and filters."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.forms import BoundField
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers, phone_texts
from connector_project.core.admin import base
from connector_project.core.admin.base import ReadOnlyAdmin, with_column_label
from connector_project.core.admin.pagination import AFTER, BEFORE, KeysetChangeList
from telephony.calls.attribution_filters import COLUMNS, suggestions
from telephony.calls.filters import PKS, CallFilterSet
from telephony.models import Call, State
from telephony.number_search import Searches
from tenants import datetime_display
from tenants.visibility import visible_to

FORM_FIELDS = (
    *("q", "tenant__id__exact", "day", "direction", "outcome", "status"),
    *("reason", "rule", "number", "recording"),
    *COLUMNS,
)
NOT_FILTERS = {AFTER, BEFORE, PAGE_VAR, ERROR_FLAG, *IGNORED_PARAMS} - {"q"}
STATE_CSS_CLASSES: Mapping[str, str] = {State.UPLOADED: "active", State.SKIPPED: "quiet"}


class CallChangeList(KeysetChangeList):
    """The calls that match the filter form; none if a parameter is unknown or invalid."""

    def get_filters(self, request: HttpRequest) -> Any:
        self.filterset = call_filters(request, self.root_queryset)
        self.root_queryset = self.filterset.qs
        self.suggested = _suggestions(request, self.filterset)
        return [], False, {}, False, bool(self.filterset.data)

    @property
    def form_fields(self) -> list[BoundField]:
        fields = self.filterset.form.fields
        for name in self.suggested:
            fields[name].widget.attrs |= {"list": f"suggested-{name}", "autocomplete": "off"}
        return [self.filterset.form[name] for name in FORM_FIELDS]

    @property
    def problems(self) -> list[str]:
        fields, errors = self.filterset.form.fields, self.filterset.errors
        return [f"{fields[name].label if name in fields else name}: {texts[0]}" for name, texts in errors.items()]


class CallListAdmin(ReadOnlyAdmin):
    """Base admin of calls; `operations.admin` registers it, because its pages need the CRM too."""

    has_change_actions = True
    keyset_field = "started_at"
    list_display = (
        datetime_display.short_column(Call, "started_at", names_clock=True),
        *("tenant", "customer", "shown_employee", "duration", "shown_attribution", "shown_state", "shown_reason"),
    )
    list_select_related = ("tenant", "employee")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CallChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Call]:
        # Encrypted, long fields are not needed in the list.
        return super().get_queryset(request).defer("uis_snapshot", "recording_url", "attribution")

    @admin.display(description=_("contact"))
    def customer(self, call: Call) -> str:
        """The contact's masked number and the virtual number; the call's page has the full number."""
        arrow = "→" if call.direction == "out" else "←"
        contact = phone_numbers.mask(call.contact) or gettext("hidden number")
        return format_html(
            '{} {} <div class="text-secondary">{}</div>', arrow, contact, phone_numbers.e164(call.number)
        )

    @admin.display(description=_("employee"))
    def shown_employee(self, call: Call) -> str:
        return with_column_label(_("employee"), call.employee) if call.employee else ""

    @admin.display(description=_("result"))
    def duration(self, call: Call) -> str:
        """How the call ended for the customer, with the length of the talk or wait."""
        if call.talk_seconds:
            return gettext("talk %(time)s") % {"time": format_duration(call.talk_seconds)}
        ended = gettext("missed") if call.is_missed else call.get_result_display() or gettext("not known yet")
        waited = gettext("waited %(time)s") % {"time": format_duration(call.wait_seconds)}
        return f"{ended}, {waited}" if call.wait_seconds else ended

    @admin.display(description=_("scenario, campaign, tags"))
    def shown_attribution(self, call: Call) -> str:
        """Where the call came from; names may hold a number."""
        known = [text for text in (call.scenario, call.campaign, ", ".join(call.tags)) if text]
        if not known:
            return ""
        shown = [phone_texts.mask(text) for text in known]
        label = with_column_label(_("scenario, campaign, tags"), shown[0])
        return format_html('{} <div class="text-secondary">{}</div>', label, " · ".join(shown[1:]))

    @admin.display(description=_("state"))
    def shown_state(self, call: Call) -> str:
        return state_label(call)

    @admin.display(description=_("reason"))
    def shown_reason(self, call: Call) -> str:
        """Why the call is not in the CRM: the reason it waits or failed, or the rule that skips it."""
        return call.get_reason_display() or call.get_skip_reason_display()


def call_filters(request: HttpRequest, calls: QuerySet[Call]) -> CallFilterSet:
    """Return the calls that a list's address selects, for the user."""
    return CallFilterSet(chosen_filters(request), calls, reader=request.user, admit=searches(request).admit)


def _suggestions(request: HttpRequest, filterset: CallFilterSet) -> dict[str, list[str]]:
    """Return the names to choose from: those of the newest calls, of the chosen client if there is one."""
    calls = visible_to(Call.objects.all(), request.user)
    chosen = filterset.form.cleaned_data.get("tenant__id__exact") if filterset.is_valid() else None
    found = suggestions(calls.filter(tenant=chosen) if chosen else calls)
    return {name: [text for text in texts if phone_texts.mask(text) == text] for name, texts in found.items()}


def searches(request: HttpRequest) -> Searches:
    """Return where the searches of this user for whole numbers are logged."""
    address = request.META.get("REMOTE_ADDR", "")
    return Searches(request.user, address=address, now=timezone.now())  # type: ignore[arg-type]  # nobody anonymous


def chosen_filters(request: HttpRequest) -> dict[str, str]:
    """Return the filters in a list's address, without the empty fields of a form; an empty `pks` matches nothing.

    PostgreSQL stores no NUL.
    """
    params = {name: str(value).replace("\0", "") for name, value in request.GET.items() if name not in NOT_FILTERS}
    return {name: value for name, value in params.items() if value.strip() or name == PKS}


def state_label(call: Call) -> str:
    """Return the state of a call as a coloured label."""
    if call.failed_at:
        return base.state_label("failed", gettext("failed"))
    return base.state_label(STATE_CSS_CLASSES.get(call.state, "failing"), call.get_state_display())


def format_duration(seconds: int) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
