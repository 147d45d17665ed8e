"""The employee mapping page of one client and its actions."""

import functools
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.check_results import Text
from crm.employee_mapping import actions, pending_calls
from crm.employee_mapping.overview import load_overview
from tenants import audit
from tenants.models import AuditLogEntry, CrmUser, Employee, Tenant, VirtualNumber

PAGE_SIZE = 50  # employees; each row has a list of the unlinked users
PAGE = "admin/tenants/employee_mapping/page.html"
CONFIRM = "admin/tenants/employee_mapping/unlink_confirm.html"
Data = dict[str, Any]
AuditLogger = Callable[..., None]
Run = Callable[[Data, AuditLogger, datetime], str]
Action = AuditLogEntry.Action


class MappingMixin(BaseAdmin):
    """Adds the page `<client>/employee-mapping/`."""

    @page("<int:tenant_id>/employee-mapping/", name="tenants_tenant_employee_mapping")
    def mapping_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show the mapping; on POST run an action and redirect back with a message."""
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "crm", "rule_version"), pk=tenant_id)
        can_act = request.user.has_perm("tenants.change_employee")
        if request.method != "POST":
            mapping = load_overview(tenant, timezone.now())
            unlinked = Paginator(mapping.unlinked, PAGE_SIZE).get_page(request.GET.get("page"))
            context = {"tenant": tenant, "mapping": mapping, "unlinked": unlinked, "can_act": can_act}
            return self.render_page(request, PAGE, title=_("Employee mapping"), subtitle=str(tenant), **context)
        if not can_act:
            raise PermissionDenied
        try:
            if question := ask_first(tenant, request, now=timezone.now()):
                return self.render_page(request, CONFIRM, title=_("Unlink"), tenant=tenant, **question)
            messages.success(request, run_action(tenant, request, now=timezone.now()))
        except ValidationError as exc:
            for message in exc.messages:
                messages.error(request, message)
        return HttpResponseRedirect(request.get_full_path())


def _action_form(tenant: Tenant, parameters: Iterable[str], data: QueryDict) -> forms.Form:
    """Return a form with the parameters of an action. Only rows of this client are valid."""
    employees = Employee.objects.select_for_update(of=("self",), no_key=True).filter(tenant=tenant)
    numbers = VirtualNumber.objects.select_related("tenant__crm").filter(tenant=tenant)
    fields = {
        "employee": _row_field(employees, _("This client has no such employee. Reload the page.")),
        "user": _row_field(CrmUser.objects.filter(tenant=tenant), _("Choose a user of this client's CRM.")),
        "number": _row_field(numbers, _("This client has no such number. Reload the page.")),
        "store": forms.CharField(max_length=100, error_messages={"required": _("Choose a store.")}),
    }
    form = forms.Form(data)
    form.fields = {name: fields[name] for name in parameters}
    return form


def _row_field(rows: QuerySet[Any], missing: str) -> forms.Field:
    return forms.ModelChoiceField(rows, error_messages={"required": missing, "invalid_choice": missing})


@transaction.atomic
def ask_first(tenant: Tenant, request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return what the confirmation of an unlinking shows; {} if it is confirmed, or another action.

    Raises ValidationError if the action is not possible.
    """
    if request.POST.get("act") != "unlink" or "confirmed" in request.POST:
        return {}
    employee = _read_parameters(tenant, "unlink", request.POST)["employee"]
    if employee.crm_user_id is None:
        return {}  # The action says so.
    waiting = len(pending_calls.pending_of(employee, now=now))
    calls = ngettext("%(count)d call is waiting", "%(count)d calls are waiting", waiting) % {"count": waiting}
    return {"employee": employee, "user": _loggable(employee, "crm_user_id"), "waiting": calls}


@transaction.atomic
def run_action(tenant: Tenant, request: HttpRequest, *, now: datetime) -> str:
    """Run an action, write an audit entry, return a message. Raises ValidationError."""
    name = request.POST.get("act", "")
    if name not in ACTIONS:
        raise ValidationError(_("Unknown action. Reload the page."))
    Tenant.objects.lock(tenant.pk)
    data = _read_parameters(tenant, name, request.POST)
    return ACTIONS[name](data, functools.partial(audit.log, tenant, now=now, by=request.user), now)


def _read_parameters(tenant: Tenant, name: str, posted: QueryDict) -> Data:
    """Return the rows that an action is for. Raises ValidationError if they are not as the page showed them."""
    form = _action_form(tenant, PARAMETERS.get(name, ("employee",)), posted)
    if not form.is_valid():
        raise ValidationError(next(iter(form.errors.as_data().values())))
    _require_unchanged(next(iter(form.cleaned_data.values())), posted.get("seen"))
    return form.cleaned_data


def _require_unchanged(target: Employee | VirtualNumber, seen: str | None) -> None:
    """Raise ValidationError if the link or store is not, or not known to be, the one that the page showed."""
    now = target.link_state if isinstance(target, Employee) else target.site
    if now != seen:
        raise ValidationError(_("%(row)s has changed since you opened this page. Check again."), params={"row": target})


def _change(apply: Callable[..., None], field: str, message: Text, *, action: Action = Action.CHANGED) -> Run:
    """Return an action that changes a field of its first parameter, and logs it."""

    def run(data: Data, log: AuditLogger, _now: datetime) -> str:
        target = next(iter(data.values()))
        old = _loggable(target, field)
        apply(*data.values())
        log(action, target=target, field=field, old=old, new=_loggable(target, field))
        return str(message) % data

    return run


def _resend_calls(data: Data, log: AuditLogger, now: datetime) -> str:
    employee = data["employee"]
    count = actions.resend_calls(employee, now=now)
    log(Action.CALLS_RESENT, target=employee, new=count)
    message = ngettext("%(count)d call is queued again.", "%(count)d calls are queued again.", count)
    return message % {"count": count}


def _loggable(target: Employee | VirtualNumber, field: str) -> object:
    """Return a value for the audit log; of an employee's CRM user, the name and id, or the id alone."""
    value = getattr(target, field)
    if field != "crm_user_id" or value is None:
        return value
    user = CrmUser.objects.filter(tenant=target.tenant_id, crm_id=value).first()
    return f"{user} · {value}" if user else value


ACTIONS: dict[str, Run] = {
    "link": _change(
        actions.link,
        "crm_user_id",
        gettext_lazy("%(employee)s is linked to %(user)s. The extension will soon be in the CRM."),
        action=Action.LINKED,
    ),
    "unlink": _change(
        actions.unlink,
        "crm_user_id",
        gettext_lazy("%(employee)s is no longer linked and will not be linked automatically."),
    ),
    "not_needed": _change(
        actions.mark_not_needed, "linked_by", gettext_lazy("%(employee)s is marked as working without the CRM.")
    ),
    "unmark_not_needed": _change(
        actions.unmark_not_needed, "linked_by", gettext_lazy("%(employee)s is listed as unlinked again.")
    ),
    "set_store": _change(actions.set_store, "site", gettext_lazy("%(number)s belongs to the store %(store)s now.")),
    "resend_calls": _resend_calls,
}
# The parameters of an action; the others need an employee only.
PARAMETERS = {"link": ("employee", "user"), "set_store": ("number", "store")}
