"""The recording on the page of a call: a player for each part, and what a person may do about the link."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from telephony import links, listening, playback
from telephony.models import Call
from telephony.player import RecordingPanel, recording_panel
from telephony.silence import Silence, Unheard
from tenants.finding import Text
from tenants.journal import By

LISTEN = "telephony.listen"
LINKS = "telephony.change_recordlink"


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing a person may do about a recording."""

    name: str
    label: Text
    warnings: tuple[Text, ...]  # what he must know before
    permission: str
    suits: Callable[[Call, RecordingPanel], bool]
    do: Callable[[Call, RecordingPanel, By, datetime], str]  # returns what to say; raises Unheard


class RecordingMixin(admin.ModelAdmin[Call]):
    """Adds the recording to the page of a call, the address the player asks, and one for each act."""

    def get_urls(self) -> list[URLPattern]:
        play, act = (self.admin_site.admin_view(view) for view in (self.play_view, self.recording_act_view))
        return [
            path("<int:pk>/recording/<int:number>/", play, name="telephony_call_play"),
            path("<int:pk>/recording/<slug:name>/", act, name="telephony_call_recording"),
            *super().get_urls(),
        ]

    def recording_context(self, request: HttpRequest, call: Call, *, now: datetime) -> dict[str, Any]:
        """Return what the panel of the page of a call shows to this person."""
        panel = recording_panel(call, now=now)
        acts = [act for act in ACTS.values() if act.suits(call, panel) and request.user.has_perm(act.permission)]
        return {"recording": panel, "may_listen": request.user.has_perm(LISTEN), "recording_acts": acts}

    def play_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
        """Play one part; 0 is the recording of the whole call. Whoever listens is written down."""
        call = self._whole(request, pk, permission=LISTEN)
        try:
            return playback.play(request, call, listening.part(number), by=request.user, now=timezone.now())
        except Unheard as exc:
            return HttpResponse(exc.reason.label, status=playback.status(exc.reason), content_type="text/plain")

    def recording_act_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Ask whether it is meant, and do it."""
        if (act := ACTS.get(name)) is None:
            raise Http404
        call, now = self._whole(request, pk, permission=act.permission), timezone.now()
        panel = recording_panel(call, now=now)
        if not act.suits(call, panel):
            messages.warning(request, gettext("That makes no sense for this call now."))
        elif request.method != "POST":
            more = {"act": act, "call": call, "title": act.label, "opts": self.opts, "media": self.media}
            shared = self.admin_site.each_context(request)
            return TemplateResponse(request, "admin/telephony/call/recording_act.html", shared | more)
        else:
            _do(request, act, call, panel, now=now)
        return redirect("admin:telephony_call_change", pk)

    def _whole(self, request: HttpRequest, pk: int, *, permission: str = "") -> Call:
        """Return the call with all that is looked at, to who may see it."""
        call = Call.objects.whole().filter(pk=pk).first()
        if call is None:
            raise Http404
        if not self.has_view_permission(request, call) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied
        return call


def _do(request: HttpRequest, act: Act, call: Call, panel: RecordingPanel, *, now: datetime) -> None:
    try:
        messages.success(request, act.do(call, panel, request.user, now))
    except Unheard as exc:
        messages.warning(request, exc.reason.label)


def _ask(call: Call, _panel: RecordingPanel, _by: By, now: datetime) -> str:
    if listening.ask(call, now=now):
        return gettext("UIS has a recording of this call.")
    return gettext("UIS has no recording of this call.")


def _may_ask(call: Call, panel: RecordingPanel) -> bool:
    """Whether UIS may know better by now; of a call on its way the workers ask."""
    silent = {Silence.GONE, Silence.NONE_CAME, Silence.NOT_RECORDED, Silence.NOT_ASKED}
    return call.is_done and panel.reason in silent and not call.tenant.uis.denied_at


def _is_open(_call: Call, panel: RecordingPanel) -> bool:
    return panel.link is not None and not panel.link.is_withdrawn


def _is_withdrawn(_call: Call, panel: RecordingPanel) -> bool:
    return panel.link is not None and panel.link.is_withdrawn


def _withdraw(_call: Call, panel: RecordingPanel, by: By, now: datetime) -> str:
    if panel.link is not None:
        links.withdraw(panel.link, by=by, now=now)
    return gettext("The link is withdrawn.")


def _give_again(_call: Call, panel: RecordingPanel, by: By, now: datetime) -> str:
    if panel.link is not None:
        links.give_again(panel.link, by=by, now=now)
    return gettext("The link works again.")


_ALL = (
    Act(
        name="ask",
        label=_("Ask UIS for the recording"),
        warnings=(_("That costs the client one or two of his Data API points."),),
        permission=LISTEN,
        suits=_may_ask,
        do=_ask,
    ),
    Act(
        name="withdraw",
        label=_("Withdraw the link"),
        warnings=(
            _("Whoever has the link hears nothing any more, in the CRM neither. The recording stays at UIS."),
            _("It can be given again; staff may still listen here."),
        ),
        permission=LINKS,
        suits=_is_open,
        do=_withdraw,
    ),
    Act(
        name="give",
        label=_("Give the link again"),
        warnings=(_("The very link that was withdrawn works again: the CRM has no other one."),),
        permission=LINKS,
        suits=_is_withdrawn,
        do=_give_again,
    ),
)
ACTS = {act.name: act for act in _ALL}
