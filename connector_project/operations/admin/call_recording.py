"""Admin mixin for the recording on a call's page: players and link actions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.check_results import Text
from telephony.models import Call
from telephony.recordings import http, links, stream
from telephony.recordings.panel import RecordingPanel
from telephony.recordings.unavailable import RecordingUnavailable, UnavailableReason
from tenants.audit import Actor

PLAY_PERMISSION = "telephony.play_recording"
LINKS = "telephony.change_recordinglink"
# UIS may have a recording now.
RETRYABLE = {
    UnavailableReason.MISSING,
    UnavailableReason.NEVER_CAME,
    UnavailableReason.NOT_READY,
    UnavailableReason.NOT_RECORDED,
    UnavailableReason.NOT_FETCHED,
}


@dataclass(frozen=True, kw_only=True)
class RecordingAction:
    """One action on a recording."""

    name: str
    label: Text
    warnings: tuple[Text, ...]  # shown before confirmation
    permission: str
    is_available: Callable[[RecordingPanel], bool]
    run: Callable[[RecordingPanel, Actor], str]  # returns the message; raises RecordingUnavailable


class RecordingMixin(BaseAdmin):
    """Adds the recording panel to a call's page, and the URLs of players and actions."""

    def recording_context(self, request: HttpRequest, panel: RecordingPanel) -> dict[str, Any]:
        """Return the template context of the panel for this user."""
        actions = [
            action
            for action in ACTIONS.values()
            if action.is_available(panel) and request.user.has_perm(action.permission)
        ]
        return {"recording": panel, "may_listen": request.user.has_perm(PLAY_PERMISSION), "recording_actions": actions}

    @page("<int:pk>/recording/<int:number>/", name="telephony_call_play", permission=PLAY_PERMISSION)
    def play_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
        """Play one part; 0 is the recording of the whole call. Writes to the access log."""
        call = get_object_or_404(Call.objects.with_related(), pk=pk)
        try:
            return http.play(request, call, part=number, by=request.user, now=timezone.now())
        except RecordingUnavailable as exc:
            return HttpResponse(exc.reason.label, status=http.status(exc.reason), content_type="text/plain")

    @page("<int:pk>/recording/<slug:name>/", name="telephony_call_recording")
    def recording_action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Show the confirmation; on POST run the action."""
        if (action := ACTIONS.get(name)) is None:
            raise Http404
        self.require(request, action.permission)
        panel = RecordingPanel(get_object_or_404(Call.objects.with_related(), pk=pk), now=timezone.now())
        if not action.is_available(panel):
            messages.warning(request, gettext("This action is not available for this call now."))
        elif request.method != "POST":
            template = "admin/telephony/call/recording_action_confirm.html"
            return self.render_page(request, template, title=action.label, action=action, call=panel.call)
        else:
            try:
                messages.success(request, action.run(panel, request.user))
            except RecordingUnavailable as exc:
                messages.warning(request, exc.reason.label)
        return redirect("admin:telephony_call_change", pk)


def _request_from_uis(panel: RecordingPanel, _by: Actor) -> str:
    if stream.refresh_from_uis(panel.call, now=panel.now):
        return gettext("UIS has a recording of this call.")
    return gettext("UIS has no recording of this call.")


def _can_request(panel: RecordingPanel) -> bool:
    """Whether UIS may have a recording now; for unfinished calls the workers check."""
    return panel.call.is_done and panel.reason in RETRYABLE and not panel.call.tenant.uis.denied_at


def _revoke(panel: RecordingPanel, by: Actor) -> str:
    if panel.link is not None:
        links.revoke(panel.link, by=by, now=panel.now)
    return gettext("Link revoked.")


def _restore(panel: RecordingPanel, by: Actor) -> str:
    if panel.link is not None:
        links.restore(panel.link, by=by, now=panel.now)
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
        is_available=lambda panel: panel.link is not None and not panel.link.is_revoked,
        run=_revoke,
    ),
    RecordingAction(
        name="restore",
        label=_("Restore link"),
        warnings=(_("The same link works again: the CRM has no other one."),),
        permission=LINKS,
        is_available=lambda panel: panel.link is not None and panel.link.is_revoked,
        run=_restore,
    ),
)
ACTIONS = {action.name: action for action in _ALL}
