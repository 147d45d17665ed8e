"""A call's page, the full number, and the registration of the call list from `call_list.py`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.base import page
from connector_project.core.untrusted_input import parse_id
from connector_project.operations.admin import call_detail
from connector_project.operations.admin.bulk_action_forms import ReasonForm
from connector_project.operations.admin.call_list import CallListAdmin
from connector_project.operations.admin.call_recording import RecordingMixin
from connector_project.operations.admin.export import ExportMixin
from connector_project.operations.explain.data import redactor_for
from telephony import access_log
from telephony.calls import filters, manual
from telephony.models import AccessLogEntry, BulkAction, Call, FailureReason, Step
from telephony.recordings.panel import RecordingPanel
from tenants.models import AuditLogEntry
from tenants.visibility import visible_to

PAGE = "admin/telephony/call/detail.html"
SKIP = "admin/telephony/call/skip_confirm.html"
CHANGE_PERMISSION = "telephony.change_call"
Action = AuditLogEntry.Action


class CallPageMixin(RecordingMixin):
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the page; log the access if the user sees the full number."""
        self.require(request)
        rows = visible_to(Call.objects.with_related().with_history(), request.user)
        call, now = get_object_or_404(rows, pk=parse_id(object_id)), timezone.now()
        reader = redactor_for(request.user)
        if reader.is_unmasked:
            _log_access(request, call, now=now)
        may_act = self.has_change_permission(request)
        context = call_detail.page_context(call, redactor=reader, may_act=may_act, now=now)
        recording = self.recording_context(request, RecordingPanel(call, now=now))
        title = gettext("Call %(session)s") % {"session": call.session_id}
        return self.render_page(request, PAGE, title=title, **context, **recording)

    @page("<int:pk>/retry/", name="telephony_call_retry", permission=CHANGE_PERMISSION, post_only=True)
    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        call = get_object_or_404(Call.objects.with_related(), pk=pk)
        if _change(request, call, manual.retry, Action.CALLS_RETRIED):
            messages.success(request, gettext("The call is queued again; reload this page in a few seconds."))
        else:
            messages.warning(request, gettext("Nothing to retry: the call is queued or uploaded."))
        return redirect("admin:telephony_call_change", pk)

    @page("<int:pk>/skip/", name="telephony_call_skip", permission=CHANGE_PERMISSION)
    def skip_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        call = get_object_or_404(Call.objects.with_related(), pk=pk)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not manual.may_skip(call, now=timezone.now()):
            messages.warning(request, gettext("The call cannot be skipped: it is uploaded, or is being uploaded now."))
        elif not form.is_valid():
            title, is_sent = gettext("Skip the call permanently"), call.history.filter(step=Step.UPLOAD).exists()
            may_be_there = is_sent and call.reason == FailureReason.CRM_UNAVAILABLE
            return self.render_page(request, SKIP, title=title, form=form, original=call, may_be_there=may_be_there)
        elif _change(request, call, manual.skip, Action.CALLS_SKIPPED, form.cleaned_data["reason"]):
            messages.success(request, gettext("The call is skipped permanently."))
        return redirect("admin:telephony_call_change", pk)

    @page("<int:pk>/number/", name="telephony_call_number", post_only=True)
    def number_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show the full number once, and log the access."""
        call = get_object_or_404(Call.objects.with_related(), pk=pk)
        _log_access(request, call, now=timezone.now())
        message = gettext("The customer's number, shown only now: %(number)s. This access is logged.")
        messages.info(request, message % {"number": phone_numbers.e164(call.contact) or "–"})
        return redirect("admin:telephony_call_change", pk)

    @admin.action(description=_("Retry"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        now, by = timezone.now(), request.user
        with transaction.atomic():
            done = manual.apply_to_each(queryset, lambda call: manual.retry(call, by=by, now=now))
            manual.log_per_tenant(done, Action.CALLS_RETRIED, by=by, now=now)
        count = done.total()
        message = ngettext("%(count)d call is queued again.", "%(count)d calls are queued again.", count)
        self.message_user(request, message % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Skip permanently…"), permissions=["change"])
    def skip_selected(self, request: HttpRequest, queryset: QuerySet[Call]) -> HttpResponse:
        pks = ",".join(str(pk) for pk in queryset.order_by().values_list("pk", flat=True))
        kind = BulkAction.Kind.SKIP
        return redirect(reverse("admin:telephony_bulkaction_preview", args=[kind], query={filters.PKS: pks}))


@admin.register(Call)
class CallAdmin(CallPageMixin, ExportMixin, CallListAdmin):
    actions = ("retry", "skip_selected")


@transaction.atomic
def _change(request: HttpRequest, call: Call, change: Callable[..., bool], code: Action, *reason: str) -> bool:
    """Retry or skip one call, with an entry in the audit log; return whether that was possible."""
    now, by, part = timezone.now(), request.user, str(call.session_id)
    if is_changed := change(call, *reason, by=by, now=now):
        manual.log_per_tenant({call.tenant_id: ""}, code, by=by, part=part, reason="".join(reason), now=now)
    return is_changed


def _log_access(request: HttpRequest, call: Call, *, now: datetime) -> None:
    access_log.log_access(
        call, AccessLogEntry.Kind.PHONE_NUMBER, by=request.user, address=request.META.get("REMOTE_ADDR", ""), now=now
    )
