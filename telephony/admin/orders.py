"""One thing to be done with all that a filter chooses: the count and a few rows first, then a yes, then progress."""

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

from connector_project import phones
from connector_project.keyset import AFTER, BEFORE
from telephony import errands, lamps, unread, wanted
from telephony.admin.log_form import LogForm
from telephony.admin.order_form import EventForm, NoForm, ReasonForm
from telephony.models import Call, Errand, Notification, State
from tenants import clock
from tenants.finding import Text
from tenants.models import Tenant

MAY = "telephony.change_call"
PAGE = "admin/telephony/order.html"
Kind, Reason = Errand.Kind, Notification.Reason
FILTERS: Mapping[str, Collection[str]] = {
    Kind.TRY_AGAIN: wanted.FILTERS.keys(),
    Kind.SKIP: wanted.FILTERS.keys(),
    Kind.READ_AGAIN: {unread.CLIENT, unread.ADDRESS, unread.REASON},
}
EVENTLESS = {Reason.NO_EVENT, Reason.UNKNOWN_EVENT}
TITLES: Mapping[str, Text] = {
    Kind.TRY_AGAIN: _("Try again all that match"),
    Kind.SKIP: _("Skip for good all that match"),
    Kind.READ_AGAIN: _("Read again what could not be read"),
}
ABOUT: Mapping[str, Text] = {
    Kind.TRY_AGAIN: _(
        "Calls go on from where they stand; skipped ones are decided anew by the rules of today. No call gets a second "
        "record in the CRM, and what a worker has in hand is left alone."
    ),
    Kind.SKIP: _("These calls will never be sent to the CRM, unless somebody presses “Try again” later."),
    Kind.READ_AGAIN: _(
        "What can be read now goes the usual way; calls of long ago never pop up. What still cannot be read stays here."
    ),
}


class OrdersMixin(admin.ModelAdmin[Any]):
    """Adds `order/<kind>/`: a look shows what would be done, a press orders it."""

    order_kinds: Sequence[str] = ()

    def get_urls(self) -> list[URLPattern]:
        name = f"telephony_{self.opts.model_name}_order"
        ours = path("order/<slug:kind>/", self.admin_site.admin_view(self.order_view), name=name)
        return [ours, *super().get_urls()]

    def order_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Show what would be done; do it when somebody says so."""
        if kind not in self.order_kinds:
            raise Http404
        if not request.user.has_perm(MAY):
            raise PermissionDenied
        asked = {word: wanted.storable(value) for word, value in request.GET.items() if word not in {AFTER, BEFORE}}
        # Of notifications an empty address is a filter, too.
        chosen = asked if kind == Kind.READ_AGAIN else wanted.filters(asked)
        if any(asked[word] for word in asked.keys() - FILTERS[kind]):
            raise Http404  # What is no filter would choose all.
        form = _form(kind, chosen)(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._order(request, kind, chosen, form)
        return self._order_page(request, kind, chosen, form)

    def _order(self, request: HttpRequest, kind: str, chosen: Mapping[str, str], form: forms.Form) -> HttpResponseBase:
        said = form.cleaned_data
        more = {"event": said["event"]} if "event" in said else {}
        now = timezone.now()
        errand = errands.order(kind, {**chosen, **more}, reason=said.get("reason", ""), by=request.user, now=now)
        if errand is None:
            messages.warning(request, gettext("There is nothing to do, or too much: narrow the filters."))
            return redirect(f"admin:telephony_{self.opts.model_name}_changelist")
        return redirect("admin:telephony_errand_change", errand.pk)

    def _order_page(
        self, request: HttpRequest, kind: str, chosen: Mapping[str, str], form: forms.Form
    ) -> TemplateResponse:
        seen = errands.foresee(kind, chosen)
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        own = {
            "title": TITLES[kind],
            "about": ABOUT[kind],
            "is_final": kind == Kind.SKIP,
            "seen": seen,
            "most": errands.MOST,
            "counted": counted(kind, seen.total),
            "parts": _parts(kind, seen.by_state),
            "sample": [line(row) for row in seen.sample],
            "filters": in_words(chosen),
            "form": form,
        }
        return TemplateResponse(request, PAGE, shared | own)


def _form(kind: str, chosen: Mapping[str, str]) -> type[forms.Form]:
    if kind == Kind.SKIP:
        return ReasonForm
    is_nameless = kind == Kind.READ_AGAIN and chosen.get("reason") in EVENTLESS
    return EventForm if is_nameless else NoForm


def counted(kind: str, count: int) -> str:
    """Return how many rows an order is about."""
    says = ngettext("%(count)d call", "%(count)d calls", count)
    if kind == Kind.READ_AGAIN:
        says = ngettext("%(count)d notification", "%(count)d notifications", count)
    return says % {"count": count}


def _parts(kind: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    words = dict(Reason.choices if kind == Kind.READ_AGAIN else State.choices)
    return [(str(words.get(word, word)), count) for word, count in sorted(counts.items())]


def line(row: Model) -> str:
    """Return one row of the sample in a line; numbers are masked for everybody."""
    now = timezone.now()
    if isinstance(row, Call):
        moment = clock.said_at(row.tenant, row.started_at, now=now)
        return f"{moment} · {row.tenant} · {phones.masked(row.contact) or '–'} · {row.get_state_display()}"
    stored: Any = row
    event = lamps.event_word(stored.path_event) or "–"
    return f"{clock.said_at(stored.tenant, stored.received_at, now=now)} · {stored.tenant} · {event}"


def in_words(chosen: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the filters as the form over the log, or the list of what cannot be read, names them.

    An order is seen by others than whoever gave it: of a number he looked for, the middle is hidden.
    """
    chosen = {word: wanted.hidden(value) if word == wanted.SEARCH else value for word, value in chosen.items()}
    form = LogForm(chosen)
    told = _of_unread(chosen)
    for name, field in form.fields.items():
        if value := chosen.get(name, ""):
            choices = dict(getattr(field, "choices", ()))
            shown = next((label for key, label in choices.items() if str(key) == value), value)
            told.append((str(field.label), str(shown)))
    if pks := chosen.get(wanted.PKS):
        told.append((gettext("Selected"), str(len(pks.split(",")))))
    return told


def _of_unread(chosen: Mapping[str, str]) -> list[tuple[str, str]]:
    client, event = chosen.get(unread.CLIENT, ""), chosen.get(unread.ADDRESS) or chosen.get("event", "")
    told = [
        (gettext("Client"), str(Tenant.objects.filter(pk=client).first() or client) if client.isdecimal() else client),
        (gettext("Event"), lamps.event_word(event)),
        (gettext("Reason"), str(dict(Reason.choices).get(chosen.get(unread.REASON, ""), ""))),
    ]
    return [(name, value) for name, value in told if value]
