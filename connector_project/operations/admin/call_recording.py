"""Admin mixin for the recording on a call's page: players and link actions."""

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

from connector_project.core.check_results import Text
from telephony.models import Call
from telephony.recordings import http, links, stream
from telephony.recordings.panel import RecordingPanel, recording_panel
from telephony.recordings.unavailable import RecordingUnavailable, UnavailableReason
from tenants.audit import Actor

PLAY_PERMISSION = "telephony.play_recording"
LINKS = "telephony.change_recordinglink"


@dataclass(frozen=True, kw_only=True)
class RecordingAction:
    """One action on a recording."""

    name: str
    label: Text
    warnings: tuple[Text, ...]  # shown before confirmation
    permission: str
    is_available: Callable[[Call, RecordingPanel], bool]
    run: Callable[[Call, RecordingPanel, Actor, datetime], str]  # returns the message; raises RecordingUnavailable


class RecordingMixin(admin.ModelAdmin[Call]):
    """Adds the recording panel to a call's page, and the URLs of players and actions."""

    def get_urls(self) -> list[URLPattern]:
        play, action_view = (self.admin_site.admin_view(view) for view in (self.play_view, self.recording_action_view))
        return [
            path("<int:pk>/recording/<int:number>/", play, name="telephony_call_play"),
            path("<int:pk>/recording/<slug:name>/", action_view, name="telephony_call_recording"),
            *super().get_urls(),
        ]

    def recording_context(self, request: HttpRequest, call: Call, *, now: datetime) -> dict[str, Any]:
        """Return the template context of the panel for this user."""
        panel = recording_panel(call, now=now)
        actions = [
            action
            for action in ACTIONS.values()
            if action.is_available(call, panel) and request.user.has_perm(action.permission)
        ]
        return {"recording": panel, "may_listen": request.user.has_perm(PLAY_PERMISSION), "recording_actions": actions}

    def play_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
        """Play one part; 0 is the recording of the whole call. Writes to the access log."""
        call = self._get_call(request, pk, permission=PLAY_PERMISSION)
        try:
            return http.play(request, call, stream.part(number), by=request.user, now=timezone.now())
        except RecordingUnavailable as exc:
            return HttpResponse(exc.reason.label, status=http.status(exc.reason), content_type="text/plain")

    def recording_action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Show the confirmation; on POST run the action."""
        if (action := ACTIONS.get(name)) is None:
            raise Http404
        call, now = self._get_call(request, pk, permission=action.permission), timezone.now()
        panel = recording_panel(call, now=now)
        if not action.is_available(call, panel):
            messages.warning(request, gettext("This action is not available for this call now."))
        elif request.method != "POST":
            context = {"action": action, "call": call, "title": action.label, "opts": self.opts, "media": self.media}
            shared = self.admin_site.each_context(request)
            return TemplateResponse(request, "admin/telephony/call/recording_action_confirm.html", shared | context)
        else:
            _run(request, action, call, panel, now=now)
        return redirect("admin:telephony_call_change", pk)

    def _get_call(self, request: HttpRequest, pk: int, *, permission: str = "") -> Call:
        """Return the call with related rows. Raises Http404 or PermissionDenied."""
        call = Call.objects.with_related().filter(pk=pk).first()
        if call is None:
            raise Http404
        if not self.has_view_permission(request, call) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied
        return call


def _run(request: HttpRequest, action: RecordingAction, call: Call, panel: RecordingPanel, *, now: datetime) -> None:
    try:
        messages.success(request, action.run(call, panel, request.user, now))
    except RecordingUnavailable as exc:
        messages.warning(request, exc.reason.label)


def _request_from_uis(call: Call, _panel: RecordingPanel, _by: Actor, now: datetime) -> str:
    if stream.refresh_from_uis(call, now=now):
        return gettext("UIS has a recording of this call.")
    return gettext("UIS has no recording of this call.")


def _can_request(call: Call, panel: RecordingPanel) -> bool:
    """Whether UIS may have a recording now; for unfinished calls the workers check."""
    retryable = {
        UnavailableReason.MISSING,
        UnavailableReason.NEVER_CAME,
        UnavailableReason.NOT_RECORDED,
        UnavailableReason.NOT_FETCHED,
    }
    return call.is_done and panel.reason in retryable and not call.tenant.uis.denied_at


def _has_active_link(_call: Call, panel: RecordingPanel) -> bool:
    return panel.link is not None and not panel.link.is_revoked


def _has_revoked_link(_call: Call, panel: RecordingPanel) -> bool:
    return panel.link is not None and panel.link.is_revoked


def _revoke(_call: Call, panel: RecordingPanel, by: Actor, now: datetime) -> str:
    if panel.link is not None:
        links.revoke(panel.link, by=by, now=now)
    return gettext("Link revoked.")


def _restore(_call: Call, panel: RecordingPanel, by: Actor, now: datetime) -> str:
    if panel.link is not None:
        links.restore(panel.link, by=by, now=now)
    return gettext("Link restored.")


_ALL = (
    RecordingAction(
        name="refresh",
        label=_("Request recording from UIS"),
        warnings=(_("This costs the client one or two Data API points."),),
        permission=PLAY_PERMISSION,
        is_available=_can_request,
        run=_request_from_uis,
    ),
    RecordingAction(
        name="revoke",
        label=_("Revoke link"),
        warnings=(
            _("The link stops working everywhere, including the CRM. The recording stays at UIS."),
            _("You can restore the link later. Staff can still listen here."),
        ),
        permission=LINKS,
        is_available=_has_active_link,
        run=_revoke,
    ),
    RecordingAction(
        name="restore",
        label=_("Restore link"),
        warnings=(_("The same link works again: the CRM has no other one."),),
        permission=LINKS,
        is_available=_has_revoked_link,
        run=_restore,
    ),
)
ACTIONS = {action.name: action for action in _ALL}
