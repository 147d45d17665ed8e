"""Admin list of calls, with search and filters."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import IGNORED_PARAMS, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project import phones
from connector_project.keyset import AFTER, BEFORE, Newest
from connector_project.readonly import ReadOnlyAdmin, labelled
from telephony import wanted
from telephony.admin.log_form import LogForm
from telephony.models import Call, State
from tenants import clock

KEYSET = {AFTER, BEFORE}
LOOKS: Mapping[str, str] = {State.UPLOADED: "active", State.SKIPPED: "quiet"}


class Log(Newest):
    """The calls that match the filter form."""

    chosen: Mapping[str, str] = {}

    def get_filters(self, request: HttpRequest) -> Any:
        """Reject unknown parameters: an export or bulk action must not include more than the user meant."""
        if self.params.keys() - wanted.FILTERS.keys() - KEYSET - set(IGNORED_PARAMS):
            raise IncorrectLookupParameters
        self.chosen = wanted.filters(self.params)
        self.root_queryset = wanted.calls(self.chosen, self.model_admin.get_queryset(request))
        return [], False, {}, False, bool(self.chosen)


class CallAdmin(ReadOnlyAdmin):
    """Base admin of calls; `operations.admin` registers it, because its pages need the CRM too."""

    newest_by = "started_at"
    list_display = (
        clock.short(Call, "started_at", names_clock=True),
        *("tenant", "who", "whom", "how_long", "how_it_stands", "why"),
    )
    list_select_related = ("tenant", "employee")
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/telephony/call/change_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Log

    def get_queryset(self, request: HttpRequest) -> QuerySet[Call]:
        # Encrypted, long fields are not needed in the list.
        return super().get_queryset(request).defer("told_by_uis", "record_url")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"form": LogForm(request.GET), "may_act": self.has_change_permission(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    @admin.display(description=_("contact"))
    def who(self, call: Call) -> str:
        """The contact's masked number and the virtual number; the call's page has the full number."""
        arrow = "→" if call.direction == "out" else "←"
        contact = phones.masked(call.contact) or gettext("hidden number")
        return format_html('{} {} <div class="desk-more">{}</div>', arrow, contact, phones.e164(call.number))

    @admin.display(description=_("employee"))
    def whom(self, call: Call) -> str:
        return labelled(_("employee"), call.employee) if call.employee else ""

    @admin.display(description=_("result"))
    def how_long(self, call: Call) -> str:
        """How the call ended for the customer, with the length of the talk or wait."""
        if call.talk_seconds:
            return gettext("talk %(time)s") % {"time": length(call.talk_seconds)}
        ended = gettext("missed") if call.is_missed else call.get_result_display() or gettext("not known yet")
        waited = gettext("waited %(time)s") % {"time": length(call.wait_seconds)}
        return f"{ended}, {waited}" if call.wait_seconds else ended

    @admin.display(description=_("state"))
    def how_it_stands(self, call: Call) -> str:
        return state_word(call)

    @admin.display(description=_("reason"))
    def why(self, call: Call) -> str:
        """Why the call is not in the CRM: the reason it waits or failed, or the rule that skips it."""
        return call.get_cause_display() or call.get_kept_back_by_display()


def state_word(call: Call) -> str:
    """Return the state of a call as a coloured label."""
    if call.stopped_at:
        return format_html('<span class="desk-state desk-stopped">{}</span>', gettext("failed"))
    css_class = LOOKS.get(call.state, "failing")
    return format_html('<span class="desk-state desk-{}">{}</span>', css_class, call.get_state_display())


def length(seconds: int) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
