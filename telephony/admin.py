"""What came in, what became of it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.logs import hide
from connector_project.readonly import ReadOnlyAdmin, labelled
from telephony import calls, lamps
from telephony.models import Attempt, Call, LedgerDay, Notification, Step
from telephony.recording_desk import RecordingMixin
from telephony.uis.types import Event
from tenants import clock


class AttemptInline(admin.TabularInline[Attempt, Call]):
    model = Attempt
    fields = readonly_fields = ("moment", "step", "cause", "detail", "milliseconds")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    @admin.display(description=_("at"))
    def moment(self, attempt: Attempt) -> str:
        return clock.in_full(attempt.call.tenant, attempt.at)

    @admin.display(description=_("detail"))
    def detail(self, attempt: Attempt) -> str:
        """Return what was said; of what UIS told it is the event."""
        return lamps.event_word(attempt.says) if attempt.step == Step.RECORD else attempt.says


class CallAdmin(RecordingMixin, ReadOnlyAdmin):
    """The ledger of calls; crm.admin registers it, for some of its buttons need both sides."""

    list_display = (
        clock.short(Call, "started_at", names_clock=True),
        *("tenant", "numbers", "state", "why", "next_try", "employee", "outcome"),
    )
    list_filter = ("state", "direction", "result", "cause", "kept_back_by", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "session_id", "state", "origin", "direction", "contact", "number"),
        *(clock.whole(Call, "started_at"), clock.whole(Call, "ended_at"), "talk_seconds", "wait_seconds"),
        *(
            "result",
            "employee",
            "named_manager",
            "source",
            "kept_back_by",
            "cause",
            "says",
            "attempts",
        ),
        *("is_backlog", "listed_on"),
        *(clock.whole(Call, name) for name in ("next_attempt_at", "stopped_at", "recorded_at", "uploaded_at")),
    )
    inlines = (AttemptInline,)
    actions = ("try_again",)

    def get_fields(self, request: HttpRequest, obj: Call | None = None) -> Any:
        """Leave out the manager the CRM named where it named none."""
        is_named = obj is not None and obj.crm_user_id is not None
        return [name for name in self.fields if is_named or name != "named_manager"]

    @admin.display(description=_("contact, our number"), ordering="contact")
    def numbers(self, call: Call) -> str:
        return format_html('{} <div class="desk-more">{}</div>', call.contact, call.number)

    @admin.display(description=_("cause"), ordering="cause")
    def why(self, call: Call) -> str:
        """Say why it is not in the CRM: the cause of a wait or a stop, or the rule that keeps it back."""
        return call.get_cause_display() or call.get_kept_back_by_display()

    @admin.display(description=_("next try"), ordering="next_attempt_at")
    def next_try(self, call: Call) -> str:
        moment = clock.said_at(call.tenant, call.next_attempt_at, now=timezone.now())
        return labelled(_("next try"), moment) if moment else ""

    @admin.display(description=_("result"), ordering="result")
    def outcome(self, call: Call) -> str:
        talk = gettext("talk %(seconds)s s") % {"seconds": call.talk_seconds} if call.talk_seconds else ""
        return ", ".join(filter(None, [call.get_direction_display(), call.get_result_display(), talk]))

    @admin.display(description=_("manager named by the CRM"))
    def named_manager(self, call: Call) -> str:
        return str(call.crm_user_id)

    @admin.action(description=_("Try again from where it stopped"), permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        chosen = list(queryset.filter(state__in=calls.NEXT))
        for call in chosen:
            calls.try_again(call, now=timezone.now())
        says = ngettext("%(count)d call is on its way again.", "%(count)d calls are on their way again.", len(chosen))
        self.message_user(request, says % {"count": len(chosen)}, messages.SUCCESS)


class WhichEvent(admin.SimpleListFilter):
    """One event at a time."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(event.value, lamps.event_word(event)) for event in Event]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """The inbox."""

    list_display = (
        clock.short(Notification, "received_at", names_clock=True),
        *("tenant", "shown_event", "session_id", "outcome", "reason", "repeats"),
    )
    list_filter = ("outcome", "reason", WhichEvent, "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant",)
    fields = readonly_fields = (
        *("tenant", clock.whole(Notification, "received_at"), clock.whole(Notification, "happened_at")),
        *("event_in_address", "shown_event", "session_id", "outcome", "reason"),
        *("detail", "repeats", "shown_query", "shown_body"),
    )

    def title_of(self, obj: Notification) -> str:
        return f"{self.shown_event(obj) or '?'} {obj.session_id or ''}".strip()

    @admin.display(description=_("event"), ordering="event")
    def shown_event(self, stored: Notification) -> str:
        return lamps.event_word(stored.event)

    @admin.display(description=_("event in the address"))
    def event_in_address(self, stored: Notification) -> str:
        return lamps.event_word(stored.path_event)

    @admin.display(description=_("query"))
    def shown_query(self, stored: Notification) -> str:
        return hide(stored.query)

    @admin.display(description=_("body"))
    def shown_body(self, stored: Notification) -> str:
        return hide(stored.body)

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(LedgerDay)
class LedgerDayAdmin(ReadOnlyAdmin):
    """What each day of each client came to."""

    list_display = (
        *("day", "tenant", "uis_calls", "uploaded", "skipped", "waiting", "failed", "shown_unexplained"),
        *("recovered", "delivered"),
    )
    list_filter = ("tenant", "day")
    list_select_related = ("tenant",)
    fields = readonly_fields = (*list_display, "counted_at", "settled_at")

    @admin.display(description=_("unexplained"), ordering="unexplained")
    def shown_unexplained(self, row: LedgerDay) -> str:
        if not row.unexplained:
            return "0"
        return format_html('<strong class="desk-state desk-stopped">{}</strong>', row.unexplained)

    @admin.display(description=_("delivered"))
    def delivered(self, row: LedgerDay) -> str:
        # Down, not to the nearest: a hundred per cent are all of them.
        share = row.delivered_share
        return "—" if share is None else f"{int(share * 1000) / 10:.1f} %"

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
