"""What came in, what became of it."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from connector_project.logs import hide
from connector_project.readonly import ReadOnlyAdmin
from telephony import calls
from telephony.models import Attempt, Call, LedgerDay, Notification


class AttemptInline(admin.TabularInline[Attempt, Call]):
    model = Attempt
    fields = readonly_fields = ("at", "step", "cause", "says", "milliseconds")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    """The ledger of calls."""

    list_display = (
        *("started_at", "tenant", "direction", "contact", "employee", "result", "state", "kept_back_by", "cause"),
        *("number", "talk_seconds", "next_attempt_at"),
    )
    list_filter = ("state", "direction", "result", "cause", "kept_back_by", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")
    fields = readonly_fields = (
        *("tenant", "session_id", "state", "origin", "direction", "contact", "number", "started_at", "ended_at"),
        *(
            "talk_seconds",
            "wait_seconds",
            "result",
            "employee",
            "crm_user_id",
            "source",
            "has_recording",
            "kept_back_by",
        ),
        *(
            "cause",
            "says",
            "attempts",
            "next_attempt_at",
            "is_backlog",
            "listed_on",
            "stopped_at",
            "recorded_at",
            "uploaded_at",
        ),
    )
    inlines = (AttemptInline,)
    actions = ("try_again",)

    @admin.display(description=_("recording"), boolean=True)
    def has_recording(self, call: Call) -> bool:
        return bool(call.record_url)

    @admin.action(description=_("Try again from where it stopped"), permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        chosen = list(queryset.filter(state__in=calls.NEXT))
        for call in chosen:
            calls.try_again(call, now=timezone.now())
        says = ngettext("%(count)d call is on its way again.", "%(count)d calls are on their way again.", len(chosen))
        self.message_user(request, says % {"count": len(chosen)}, messages.SUCCESS)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """The inbox."""

    list_display = ("received_at", "tenant", "event", "session_id", "outcome", "reason", "repeats")
    list_filter = ("outcome", "reason", "event", "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant",)
    fields = readonly_fields = (
        *("tenant", "received_at", "happened_at", "path_event", "event", "session_id", "outcome", "reason"),
        *("detail", "repeats", "shown_query", "shown_body"),
    )

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
