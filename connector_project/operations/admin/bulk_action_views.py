"""Bulk actions on all rows that a filter matches: preview, confirmation, start."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.pagination import AFTER, BEFORE
from connector_project.core.check_results import Text
from connector_project.operations.admin.bulk_action_forms import EventForm, NoForm, ReasonForm
from telephony import bulk_actions
from telephony.calls import filters
from telephony.models import BulkAction, Call, Notification, State
from telephony.webhooks import status, unreadable
from tenants import datetime_display
from tenants.models import Tenant

MAY = "telephony.change_call"
PAGE = "admin/telephony/bulkaction/confirm.html"
Kind, Reason = BulkAction.Kind, Notification.Reason
FILTERS: Mapping[str, Collection[str]] = {
    Kind.RETRY: filters.CallFilterSet.base_filters.keys(),
    Kind.SKIP: filters.CallFilterSet.base_filters.keys(),
    Kind.REPROCESS: {unreadable.CLIENT, unreadable.ADDRESS, unreadable.REASON},
}
WITHOUT_EVENT = {Reason.NO_EVENT, Reason.UNKNOWN_EVENT}
TITLES: Mapping[str, Text] = {
    Kind.RETRY: _("Retry all matching calls"),
    Kind.SKIP: _("Permanently skip all matching calls"),
    Kind.REPROCESS: _("Reprocess unreadable notifications"),
}
DESCRIPTIONS: Mapping[str, Text] = {
    Kind.RETRY: _(
        "Calls continue from their current step; skipped calls are re-evaluated with the current rules. No call gets a "
        "second record in the CRM; calls that a worker is processing are left unchanged."
    ),
    Kind.SKIP: _("These calls will not be sent to the CRM unless somebody presses “Retry” later."),
    Kind.REPROCESS: _(
        "Notifications that can be parsed now are processed as usual; old calls open no pop-up. The others stay here."
    ),
}


class BulkActionMixin(admin.ModelAdmin[Any]):
    """Adds `bulk/<kind>/`: GET shows a preview, POST starts the bulk action."""

    bulk_kinds: Sequence[str] = ()

    def get_urls(self) -> list[URLPattern]:
        name = f"telephony_{self.opts.model_name}_bulk"
        url = path("bulk/<slug:kind>/", self.admin_site.admin_view(self.bulk_view), name=name)
        return [url, *super().get_urls()]

    def bulk_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        if kind not in self.bulk_kinds:
            raise Http404
        if not request.user.has_perm(MAY):
            raise PermissionDenied
        without_nul = {name: str(value).replace("\0", "") for name, value in request.GET.items()}
        params = {name: value for name, value in without_nul.items() if name not in {AFTER, BEFORE}}
        # For notifications an empty address is a filter too.
        chosen = params if kind == Kind.REPROCESS else filters.chosen_filters(params)
        if chosen.keys() - FILTERS[kind]:
            raise Http404  # An ignored unknown filter would match all rows.
        form = _form(kind, chosen)(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._start(request, kind, chosen, form)
        return self._bulk_page(request, kind, chosen, form)

    def _start(self, request: HttpRequest, kind: str, chosen: Mapping[str, str], form: forms.Form) -> HttpResponseBase:
        data = form.cleaned_data
        event = {"event": data["event"]} if "event" in data else {}
        now = timezone.now()
        bulk_action = bulk_actions.start(
            kind, {**chosen, **event}, reason=data.get("reason", ""), by=request.user, now=now
        )
        if bulk_action is None:
            messages.warning(request, gettext("No rows match, or too many: change the filters."))
            return redirect(f"admin:telephony_{self.opts.model_name}_changelist")
        return redirect("admin:telephony_bulkaction_change", bulk_action.pk)

    def _bulk_page(
        self, request: HttpRequest, kind: str, chosen: Mapping[str, str], form: forms.Form
    ) -> TemplateResponse:
        preview = bulk_actions.preview(kind, chosen)
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        own = {
            "title": TITLES[kind],
            "description": DESCRIPTIONS[kind],
            "is_final": kind == Kind.SKIP,
            "preview": preview,
            "max_rows": bulk_actions.MAX_ROWS,
            "counted": counted(kind, preview.total),
            "parts": _parts(kind, preview.by_state),
            "sample": [line(row) for row in preview.sample],
            "filters": describe_filters(kind, chosen),
            "form": form,
        }
        return TemplateResponse(request, PAGE, shared | own)


def _form(kind: str, chosen: Mapping[str, str]) -> type[forms.Form]:
    if kind == Kind.SKIP:
        return ReasonForm
    has_no_event = kind == Kind.REPROCESS and chosen.get("reason") in WITHOUT_EVENT
    return EventForm if has_no_event else NoForm


def counted(kind: str, count: int) -> str:
    """Return the number of rows of a bulk action as text."""
    text = ngettext("%(count)d call", "%(count)d calls", count)
    if kind == Kind.REPROCESS:
        text = ngettext("%(count)d notification", "%(count)d notifications", count)
    return text % {"count": count}


def _parts(kind: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    labels = dict(Reason.choices if kind == Kind.REPROCESS else State.choices)
    return [(str(labels.get(code, code)), count) for code, count in sorted(counts.items())]


def line(row: Model) -> str:
    """Return one row of the sample as a line; numbers are always masked."""
    now = timezone.now()
    if isinstance(row, Call):
        moment = datetime_display.format_short(row.tenant, row.started_at, now=now)
        return f"{moment} · {row.tenant} · {phone_numbers.mask(row.contact) or '–'} · {row.get_state_display()}"
    stored: Any = row
    event = status.event_label(stored.event_in_url) or "–"
    return f"{datetime_display.format_short(stored.tenant, stored.received_at, now=now)} · {stored.tenant} · {event}"


def describe_filters(kind: str, chosen: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the labels and values of the filters, as the call list or the list of unreadable notifications shows them.

    Other users can see a bulk action too, so a number that was searched for is masked.
    """
    if kind == Kind.REPROCESS:  # Its filters have the names of call filters, and other values.
        return _notification_filters(chosen)
    chosen = {
        name: filters.mask_search_term(value) if name in filters.SEARCHES else value for name, value in chosen.items()
    }
    form, shown = filters.CallFilterSet(chosen, Call.objects.all()).form, []
    for name, field in form.fields.items():
        if (value := chosen.get(name, "")) and name != filters.PKS:
            choices = dict(getattr(field, "choices", ()))
            label = next((label for key, label in choices.items() if str(key) == value), value)
            shown.append((str(field.label), str(label)))
    if pks := chosen.get(filters.PKS):
        shown.append((gettext("Selected"), str(len(pks.split(",")))))
    return shown


def _notification_filters(chosen: Mapping[str, str]) -> list[tuple[str, str]]:
    client, event = chosen.get(unreadable.CLIENT, ""), chosen.get(unreadable.ADDRESS) or chosen.get("event", "")
    shown = [
        (gettext("Client"), str(Tenant.objects.filter(pk=client).first() or client) if client.isdecimal() else client),
        (gettext("Event"), status.event_label(event)),
        (gettext("Reason"), str(dict(Reason.choices).get(chosen.get(unreadable.REASON, ""), ""))),
    ]
    return [(name, value) for name, value in shown if value]
