"""Erasing a number: the page to request it, from a client or a call, and the list of erasures with their results."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.base import ReadOnlyAdmin, page
from connector_project.core.filters import LARGEST_ID
from connector_project.core.task_queue import enqueue
from connector_project.core.untrusted_input import parse_id
from connector_project.operations.erasure import run
from connector_project.operations.models import Erasure
from telephony import access_log
from telephony.models import AccessLogEntry, Call
from tenants import permissions
from tenants.datetime_display import full_fields, short_column
from tenants.models import Tenant

PERMISSION = "operations.erase_number"


class ErasureForm(forms.Form):
    """The number, typed or taken from a call, and the confirmation."""

    number = forms.CharField(label=_("Phone number"), max_length=64, required=False)
    call = forms.IntegerField(required=False, widget=forms.HiddenInput, min_value=1, max_value=LARGEST_ID)
    is_confirmed = forms.BooleanField(label=_("The person has asked for it, and I know that it cannot be undone."))

    def __init__(self, data: Any = None, *, tenant: Tenant, **options: Any) -> None:
        super().__init__(data, **options)
        self.tenant, self.digits = tenant, ""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        call = Call.objects.filter(tenant=self.tenant, pk=cleaned.get("call") or 0).first()
        try:
            self.digits = run.parse(self.tenant, cleaned.get("number") or (call.contact if call else ""))
        except run.Refused as exc:
            self.add_error("number", str(exc))
        return cleaned


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    keyset_field = "requested_at"
    list_display = (
        short_column(Erasure, "requested_at", names_clock=True),
        *("tenant", "state", "rows", "requested_by"),
        short_column(Erasure, "ended_at"),
    )
    list_filter = ("state", "tenant")
    list_select_related = ("tenant", "requested_by")
    fields = readonly_fields = (
        *("tenant", "state", "token", "tables", "requested_by"),
        *full_fields(Erasure, "requested_at", "ended_at"),
    )

    @admin.display(description=_("changed rows"))
    def rows(self, erasure: Erasure) -> int:
        return sum(erasure.erased.values())

    @admin.display(description=_("changed rows by table"))
    def tables(self, erasure: Erasure) -> str:
        return ", ".join(f"{name}: {count}" for name, count in sorted(erasure.erased.items())) or "–"

    @page("start/<int:tenant_id>/", name="operations_erasure_start", permission=PERMISSION)
    def start_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """Ask for the number and the confirmation; then queue the erasure, and show its page."""
        tenant, now = get_object_or_404(Tenant.objects.select_related("uis"), pk=tenant_id), timezone.now()
        if request.method == "POST":
            form = ErasureForm(request.POST, tenant=tenant)
        else:
            form = ErasureForm(tenant=tenant, initial=_initial(request, tenant, now=now))
        if not form.is_valid():
            title = gettext("Erase a phone number")
            template = "admin/operations/erasure/start.html"
            return self.render_page(request, template, title=title, form=form, tenant=tenant)
        with transaction.atomic():
            erasure = run.start(tenant, form.digits, by=request.user, now=now)
            enqueue(run.TASK, erasure.pk)
        messages.success(request, gettext("The number is being erased; reload this page in a few seconds."))
        return redirect("admin:operations_erasure_change", erasure.pk)


def _initial(request: HttpRequest, tenant: Tenant, *, now: datetime) -> dict[str, Any]:
    """Return the call that the page was opened from; its number for users who may see it, which is logged."""
    call = Call.objects.filter(tenant=tenant, pk=parse_id(request.GET.get("call")) or 0).first()
    if call is None:
        return {}
    if not permissions.can_see_full_numbers(request.user):
        return {"call": call.pk}
    address = request.META.get("REMOTE_ADDR", "")
    access_log.log_access(call, AccessLogEntry.Kind.PHONE_NUMBER, by=request.user, address=address, now=now)
    return {"call": call.pk, "number": phone_numbers.e164(call.contact)}
