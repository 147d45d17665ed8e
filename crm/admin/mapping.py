"""The mapping doctor's page: who is whom at one client, and a button for each thing a person may decide."""

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

from crm import mapping
from tenants import journal
from tenants.models import Change, CrmUser, Employee, Tenant, VirtualNumber

A_PAGE = 50  # employees; each brings a list of the users who are free
NAME = "tenants_tenant_mapping"
Said = dict[str, Any]
Note = Callable[..., None]
Verb = Change.Verb


class MappingMixin(admin.ModelAdmin[Tenant]):
    """Gives the client's page in the admin a second one, `<client>/mapping/`."""

    def get_urls(self) -> list[URLPattern]:
        ours = path("<int:tenant_id>/mapping/", self.admin_site.admin_view(self.mapping_view), name=NAME)
        return [ours, *super().get_urls()]

    def mapping_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show who is whom; do what was asked, and come back with a message."""
        known = Tenant.objects.select_related("uis", "crm", "rules")
        tenant = get_object_or_404(known, pk=tenant_id)
        if not self.has_view_permission(request, tenant):
            raise PermissionDenied
        if request.method != "POST":
            return TemplateResponse(request, "admin/tenants/mapping.html", self._mapping_context(request, tenant))
        if not _may_act(request):
            raise PermissionDenied
        try:
            messages.success(request, act(tenant, request, now=timezone.now()))
        except ValidationError as exc:
            for says in exc.messages:
                messages.error(request, says)
        return HttpResponseRedirect(request.get_full_path())

    def _mapping_context(self, request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
        found = mapping.examine(tenant, timezone.now())
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Who is bound to whom"),
            "subtitle": str(tenant),
            "tenant": tenant,
            "mapping": found,
            "unlinked": Paginator(found.unlinked, A_PAGE).get_page(request.GET.get("page")),
            "can_act": _may_act(request),
        }


class ActForm(forms.Form):
    """What a button on the page sends. Whoever is not this client's is unknown here."""

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
def act(tenant: Tenant, request: HttpRequest, *, now: datetime) -> str:
    """Do what a button asks for, write down who pressed it, and return what to tell him. Raises ValidationError."""
    needed, do = ACTS.get(request.POST.get("act", ""), ((), None))
    if do is None:
        raise ValidationError(_("This button is not known. Open the page anew."))
    form = ActForm(tenant, request.POST)
    form.full_clean()
    for name in needed:
        if not form.cleaned_data.get(name):
            raise ValidationError(MISSING[name]())
    return do(form.cleaned_data, functools.partial(journal.note, tenant, now=now, by=request.user), now)


def _bind(said: Said, note: Note, _now: datetime) -> str:
    employee, user = said["employee"], said["user"]
    old = _user_of(employee)
    mapping.bind(employee, user)
    note(Verb.BOUND, part=employee, field="crm_user_id", old=old, new=_named(user))
    says = _("%(employee)s is bound to %(user)s. The extension will soon be in the CRM.")
    return says % {"employee": employee, "user": user}


def _unbind(said: Said, note: Note, _now: datetime) -> str:
    employee = said["employee"]
    old = _user_of(employee)
    mapping.unbind(employee)
    note(Verb.CHANGED, part=employee, field="crm_user_id", old=old)
    return _("%(employee)s is bound to nobody now, until somebody binds him.") % {"employee": employee}


def _not_needed(said: Said, note: Note, _now: datetime) -> str:
    employee = said["employee"]
    old = employee.linked_by
    mapping.mark_not_needed(employee)
    note(Verb.CHANGED, part=employee, field="linked_by", old=old, new=employee.linked_by)
    return _("%(employee)s works without the CRM: nobody looks for his user any more.") % {"employee": employee}


def _bring_back(said: Said, note: Note, _now: datetime) -> str:
    employee = said["employee"]
    old = employee.linked_by
    mapping.bring_back(employee)
    note(Verb.CHANGED, part=employee, field="linked_by", old=old, new=employee.linked_by)
    return _("%(employee)s is among those to be bound again.") % {"employee": employee}


def _set_store(said: Said, note: Note, _now: datetime) -> str:
    number, store = said["number"], said["store"]
    old = number.site
    mapping.set_store(number, store)
    note(Verb.CHANGED, part=number, field="site", old=old, new=store)
    return _("%(number)s belongs to the store %(store)s now.") % {"number": number, "store": store}


def _send_on(said: Said, note: Note, now: datetime) -> str:
    employee = said["employee"]
    count = mapping.send_on(employee, now=now)
    note(Verb.SENT_ON, part=employee, new=count)
    says = ngettext("%(count)d call is on its way again.", "%(count)d calls are on their way again.", count)
    return says % {"count": count}


def _may_act(request: HttpRequest) -> bool:
    return request.user.has_perm("tenants.change_employee")


def _user_of(employee: Employee) -> str:
    """Return how the journal names an employee's user: by name and id, or by the id alone."""
    if employee.crm_user_id is None:
        return ""
    user = CrmUser.objects.filter(tenant=employee.tenant_id, crm_id=employee.crm_user_id).first()
    return _named(user) if user else str(employee.crm_user_id)


def _named(user: CrmUser) -> str:
    return f"{user} · {user.crm_id}"


# What each button needs, and what it does.
ACTS: dict[str, tuple[tuple[str, ...], Callable[[Said, Note, datetime], str]]] = {
    "bind": (("employee", "user"), _bind),
    "unbind": (("employee",), _unbind),
    "not_needed": (("employee",), _not_needed),
    "bring_back": (("employee",), _bring_back),
    "set_store": (("number", "store"), _set_store),
    "send_on": (("employee",), _send_on),
}
MISSING: dict[str, Callable[[], str]] = {
    "employee": lambda: _("This client has no such employee. Open the page anew."),
    "user": lambda: _("Choose a user of this client's CRM."),
    "number": lambda: _("This client has no such number. Open the page anew."),
    "store": lambda: _("Choose a store."),
}
