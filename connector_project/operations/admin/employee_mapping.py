"""The employee mapping page of one client and its actions."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm import employee_mapping
from tenants import audit
from tenants.models import AuditLogEntry, CrmUser, Employee, Tenant, VirtualNumber

PAGE_SIZE = 50  # employees; each row has a list of the unlinked users
NAME = "tenants_tenant_employee_mapping"
Data = dict[str, Any]
AuditLogger = Callable[..., None]
Action = AuditLogEntry.Action


class MappingMixin(admin.ModelAdmin[Tenant]):
    """Adds the page `<client>/employee-mapping/`."""

    def get_urls(self) -> list[URLPattern]:
        ours = path("<int:tenant_id>/employee-mapping/", self.admin_site.admin_view(self.mapping_view), name=NAME)
        return [ours, *super().get_urls()]

    def mapping_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show the mapping; on POST run an action and redirect back with a message."""
        known = Tenant.objects.select_related("uis", "crm", "rules")
        tenant = get_object_or_404(known, pk=tenant_id)
        if not self.has_view_permission(request, tenant):
            raise PermissionDenied
        if request.method != "POST":
            return TemplateResponse(
                request, "admin/tenants/employee_mapping/page.html", self._mapping_context(request, tenant)
            )
        if not _may_act(request):
            raise PermissionDenied
        try:
            messages.success(request, run_action(tenant, request, now=timezone.now()))
        except ValidationError as exc:
            for message in exc.messages:
                messages.error(request, message)
        return HttpResponseRedirect(request.get_full_path())

    def _mapping_context(self, request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
        overview = employee_mapping.load_overview(tenant, timezone.now())
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Employee mapping"),
            "subtitle": str(tenant),
            "tenant": tenant,
            "mapping": overview,
            "unlinked": Paginator(overview.unlinked, PAGE_SIZE).get_page(request.GET.get("page")),
            "can_act": _may_act(request),
        }


class ActionForm(forms.Form):
    """The parameters of an action. Only rows of this client are valid."""

    employee = forms.ModelChoiceField(Employee.objects.none(), required=False)
    user = forms.ModelChoiceField(CrmUser.objects.none(), required=False)
    number = forms.ModelChoiceField(VirtualNumber.objects.none(), required=False)
    store = forms.CharField(max_length=100, required=False)

    def __init__(self, tenant: Tenant, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own: dict[str, Any] = {
            "employee": Employee.objects.select_for_update(of=("self",)).filter(tenant=tenant),
            "user": CrmUser.objects.filter(tenant=tenant),
            "number": VirtualNumber.objects.select_related("tenant__crm").filter(tenant=tenant),
        }
        for name, rows in own.items():
            field: Any = self.fields[name]
            field.queryset = rows


@transaction.atomic
def run_action(tenant: Tenant, request: HttpRequest, *, now: datetime) -> str:
    """Run an action, write an audit entry, return a message. Raises ValidationError."""
    required, run = ACTIONS.get(request.POST.get("act", ""), ((), None))
    if run is None:
        raise ValidationError(_("Unknown action. Reload the page."))
    form = ActionForm(tenant, request.POST)
    form.full_clean()
    for name in required:
        if not form.cleaned_data.get(name):
            raise ValidationError(MISSING[name]())
    return run(form.cleaned_data, functools.partial(audit.log, tenant, now=now, by=request.user), now)


def _link(data: Data, log: AuditLogger, _now: datetime) -> str:
    employee, user = data["employee"], data["user"]
    old = _current_user(employee)
    employee_mapping.link(employee, user)
    log(Action.LINKED, target=employee, field="crm_user_id", old=old, new=_user_label(user))
    message = _("%(employee)s is linked to %(user)s. The extension will soon be in the CRM.")
    return message % {"employee": employee, "user": user}


def _unlink(data: Data, log: AuditLogger, _now: datetime) -> str:
    employee = data["employee"]
    old = _current_user(employee)
    employee_mapping.unlink(employee)
    log(Action.CHANGED, target=employee, field="crm_user_id", old=old)
    return _("%(employee)s is no longer linked and will not be linked automatically.") % {"employee": employee}


def _not_needed(data: Data, log: AuditLogger, _now: datetime) -> str:
    employee = data["employee"]
    old = employee.linked_by
    employee_mapping.mark_not_needed(employee)
    log(Action.CHANGED, target=employee, field="linked_by", old=old, new=employee.linked_by)
    return _("%(employee)s is marked as working without the CRM.") % {"employee": employee}


def _undo_not_needed(data: Data, log: AuditLogger, _now: datetime) -> str:
    employee = data["employee"]
    old = employee.linked_by
    employee_mapping.unmark_not_needed(employee)
    log(Action.CHANGED, target=employee, field="linked_by", old=old, new=employee.linked_by)
    return _("%(employee)s is listed as unlinked again.") % {"employee": employee}


def _set_store(data: Data, log: AuditLogger, _now: datetime) -> str:
    number, store = data["number"], data["store"]
    old = number.site
    employee_mapping.set_store(number, store)
    log(Action.CHANGED, target=number, field="site", old=old, new=store)
    return _("%(number)s belongs to the store %(store)s now.") % {"number": number, "store": store}


def _resend_calls(data: Data, log: AuditLogger, now: datetime) -> str:
    employee = data["employee"]
    count = employee_mapping.resend_calls(employee, now=now)
    log(Action.CALLS_RESENT, target=employee, new=count)
    message = ngettext("%(count)d call is queued again.", "%(count)d calls are queued again.", count)
    return message % {"count": count}


def _may_act(request: HttpRequest) -> bool:
    return request.user.has_perm("tenants.change_employee")


def _current_user(employee: Employee) -> str:
    """Return an employee's CRM user for the audit log: name and id, or the id alone."""
    if employee.crm_user_id is None:
        return ""
    user = CrmUser.objects.filter(tenant=employee.tenant_id, crm_id=employee.crm_user_id).first()
    return _user_label(user) if user else str(employee.crm_user_id)


def _user_label(user: CrmUser) -> str:
    return f"{user} · {user.crm_id}"


# The parameters each action needs, and its function.
ACTIONS: dict[str, tuple[tuple[str, ...], Callable[[Data, AuditLogger, datetime], str]]] = {
    "link": (("employee", "user"), _link),
    "unlink": (("employee",), _unlink),
    "not_needed": (("employee",), _not_needed),
    "unmark_not_needed": (("employee",), _undo_not_needed),
    "set_store": (("number", "store"), _set_store),
    "resend_calls": (("employee",), _resend_calls),
}
MISSING: dict[str, Callable[[], str]] = {
    "employee": lambda: _("This client has no such employee. Reload the page."),
    "user": lambda: _("Choose a user of this client's CRM."),
    "number": lambda: _("This client has no such number. Reload the page."),
    "store": lambda: _("Choose a store."),
}
