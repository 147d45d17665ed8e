"""Incidents in the admin, open ones first, with their actions; and the alert deliveries."""

from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from connector_project.core.admin.base import (
    ReadOnlyAdmin,
    list_filter,
    page,
    state_label,
    with_column_label,
    with_responsible,
)
from connector_project.operations.admin.audit_log import actor
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.alerts import actions, delivery, incident_texts
from connector_project.operations.models import AlertDelivery, Incident
from tenants import audit, datetime_display
from tenants.models import Tenant

State = Incident.State
RANKS = {State.OPEN: 1, State.ACKNOWLEDGED: 2, State.MUTED: 3, State.RESOLVED: 4}
LONGEST_NOTE = 500
NOTE = forms.CharField(required=False)  # Refuses characters that no column can hold.


class ActionNoteForm(helpers.ActionForm):
    note = forms.CharField(label=_("Note:"), required=False, max_length=LONGEST_NOTE)


ScopeFilter = list_filter(
    _("scope"),
    "whole",
    choices=lambda: [("yes", _("the whole service")), ("no", _("one client"))],
    condition=lambda value: Q(tenant__isnull=value == "yes"),
)


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("shown_state", "subject", "kind", "what", "since", "last_seen", "seen_count", "acknowledged_by")
    list_display_links = ("subject",)
    list_filter = ("state", "kind", ScopeFilter, "tenant")
    list_select_related = ("tenant", "acknowledged_by")
    action_form = ActionNoteForm
    actions = tuple(actions.ACTIONS)
    fields = readonly_fields = (
        *("kind", "subject"),
        *datetime_display.full_fields(Incident, "opened_at", "last_seen_at"),
        *("seen_count", "acknowledged_by", "note", datetime_display.full_field(Incident, "resolved_at")),
    )
    change_form_template = "admin/operations/incident/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        ranks = [When(state=state, then=Value(rank)) for state, rank in RANKS.items()]
        ranks.insert(0, When(state=State.OPEN, tenant=None, then=Value(0)))  # It affects all clients.
        return Incident.objects.annotate(rank=Case(*ranks, output_field=IntegerField()))

    def get_ordering(self, request: HttpRequest) -> Any:
        return ["rank", "-opened_at", "-pk"]

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the actions this user has permission for."""
        return {one.name: (partial(_run, one), one.name, one.label) for one in _allowed(request)}

    @page("<int:pk>/action/<slug:name>/", name="operations_incident_action")
    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        get_object_or_404(Incident, pk=pk)
        if name not in actions.ACTIONS:
            raise Http404
        if request.method == "POST":
            seen = request.POST.get("seen", "")
            _run(actions.ACTIONS[name], self, request, Incident.objects.filter(pk=pk), seen=seen)
        return redirect("admin:operations_incident_change", pk)

    def title_of(self, obj: Incident) -> str:
        return f"{capfirst(obj.get_kind_display())}: {incident_texts.subject_name(obj)}"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        incident: Incident = kwargs["obj"]
        now = timezone.now()
        context |= {
            "message": incident_texts.message(incident, now=now),
            "responsible": incident_texts.responsible(incident).label,
            "can_reconnect": _can_reconnect(incident, request, now=now),
            "actions": [action for action in _allowed(request) if action.is_possible(incident)],
            "audit_log": [
                {"at": incident_texts.at(incident, entry.at, now=now), "actor": actor(entry), "entry": entry}
                for entry in audit.entries_for(incident, incident.tenant)
            ],
        }
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("state"), ordering="rank")
    def shown_state(self, incident: Incident) -> str:
        return state_label(State(incident.state).lower(), incident.get_state_display())

    @admin.display(description=_("scope"), ordering="tenant")
    def subject(self, incident: Incident) -> str:
        return incident_texts.subject_name(incident)

    @admin.display(description=_("what is wrong"))
    def what(self, incident: Incident) -> str:
        message = incident_texts.message(incident, now=timezone.now())
        return with_responsible(message, incident_texts.responsible(incident))

    @admin.display(description=_("since, client's time"), ordering="opened_at")
    def since(self, incident: Incident) -> str:
        return with_column_label(_("since"), incident_texts.at(incident, incident.opened_at, now=timezone.now()))

    @admin.display(description=_("last seen"), ordering="last_seen_at")
    def last_seen(self, incident: Incident) -> str:
        return with_column_label(_("last seen"), incident_texts.at(incident, incident.last_seen_at, now=timezone.now()))


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    has_change_actions = True
    list_display = (
        datetime_display.short_column(AlertDelivery, "created_at"),
        *("channel", "language", "subject", "state", "attempts"),
        *(datetime_display.short_column(AlertDelivery, "next_attempt_at"), "detail"),
    )
    list_display_links = ("subject",)
    list_filter = ("state", "channel")
    fields = readonly_fields = (*list_display, datetime_display.short_column(AlertDelivery, "ended_at"), "body")
    actions = ("retry",)

    @admin.action(description=_("Send again"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[AlertDelivery]) -> None:
        unsent = list(queryset.exclude(state=AlertDelivery.State.SENT))
        for row in unsent:
            delivery.retry(row, now=timezone.now())
        message = ngettext("%(count)d message is queued.", "%(count)d messages are queued.", len(unsent))
        self.message_user(request, message % {"count": len(unsent)}, messages.SUCCESS)


def _can_reconnect(incident: Incident, request: HttpRequest, *, now: datetime) -> bool:
    """Return whether a link for the broken key of this client can be created, by this user."""
    is_open = incident.kind == Incident.Kind.ACCESS_DENIED and incident.state != State.RESOLVED
    if not is_open or incident.tenant_id is None or not request.user.has_perm("tenants.change_tenant"):
        return False
    tenant = Tenant.objects.select_related("uis", "crm").get(pk=incident.tenant_id)
    return not TENANT_ACTIONS["reconnect"].refusal(tenant, now)


def _allowed(request: HttpRequest) -> list[actions.IncidentAction]:
    """Return the actions this user has permission for."""
    return [action for action in actions.ACTIONS.values() if request.user.has_perm(action.permission)]


def _run(
    action: actions.IncidentAction,
    _admin: IncidentAdmin,
    request: HttpRequest,
    queryset: QuerySet[Incident],
    *,
    seen: str | None = None,
) -> None:
    if action not in _allowed(request):
        raise PermissionDenied
    try:
        note = NOTE.clean(request.POST.get("note", ""))[:LONGEST_NOTE]
    except ValidationError as exc:
        return messages.error(request, " ".join(exc.messages))
    pks = queryset.order_by().values_list("pk", flat=True)
    count = actions.apply(action, pks, seen=seen, by=request.user, note=note, now=timezone.now())
    if count:
        message = ngettext("%(count)d incident updated.", "%(count)d incidents updated.", count)
        return messages.success(request, message % {"count": count})
    messages.warning(request, _("Nothing to do: the incident has changed, or there is a newer one."))
