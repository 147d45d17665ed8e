"""Changes one rule for many clients: drafts, with a preview of each, of which the confirmed ones are published."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.admin.fingerprints import load_object
from connector_project.operations import bulk_rules
from connector_project.operations.admin.rule_pages import WhyField
from connector_project.operations.bulk_rules import RULES, Line, Result
from tenants.forms import standard_statuses
from tenants.models import Tenant
from tenants.rules import StatusSync
from tenants.status_labels import STATUS_FIELDS
from tenants.visibility import visible_to

LONGEST_SELECTION = 100_000  # characters: more clients than any list selects, fewer than a query takes
PUBLISH = "publish"  # boxes of the preview, by client
YES_NO = (("True", _("yes")), ("False", _("no")))


class RuleForm(forms.Form):
    """First the rule is chosen; a form with a rule asks for its new value, and why."""

    clients = forms.RegexField(r"^[0-9]{1,18}(,[0-9]{1,18})*$", max_length=LONGEST_SELECTION, widget=forms.HiddenInput)
    # What the preview showed, as JSON: {"rule": …, "value": …, "clients": {client: the stamp of their draft}}.
    previewed = forms.CharField(required=False, widget=forms.HiddenInput)
    rule = forms.ChoiceField(
        label=_("Rule"), choices=lambda: [(name, capfirst(field.verbose_name)) for name, field in RULES.items()]
    )

    def __init__(self, *args: Any, rule: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if rule in RULES:
            self.fields["rule"].widget = forms.HiddenInput()
            self.fields["value"] = _value_field(rule)
            self.fields["why"] = WhyField()


class BulkRuleChangeMixin(BaseAdmin):
    """Adds the action that changes one rule for many clients."""

    @admin.action(description=_("Change one rule for the selected clients…"), permissions=["change"])
    def change_one_rule(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse:
        pks = ",".join(str(pk) for pk in queryset.order_by().values_list("pk", flat=True))
        return self._rule_page(request, RuleForm(initial={"clients": pks}))

    @page("bulk-rule-change/", name="tenants_tenant_bulk_rule_change", permission="tenants.change_tenant")
    def bulk_rule_change_view(self, request: HttpRequest) -> HttpResponseBase:
        """Three steps: choose the rule, enter the value and why, confirm what the preview showed."""
        rule = request.POST.get("rule", "")
        form = RuleForm(request.POST, rule=rule)
        if request.method != "POST" or "clients" in form.errors:
            return redirect("admin:tenants_tenant_changelist")
        if "value" not in request.POST and rule in RULES:
            return self._rule_page(request, RuleForm(initial=form.cleaned_data, rule=rule), rule=rule)
        if not form.is_valid():
            return self._rule_page(request, form, rule=rule if rule in RULES else "")
        pks, value = _visible(request, form.cleaned_data["clients"]), form.cleaned_data["value"]
        previewed = _previewed(form.cleaned_data)
        if "confirm" not in request.POST or not previewed:
            return self._preview_rule(request, pks, rule, value)
        ticked = set(request.POST.getlist(PUBLISH))
        result = bulk_rules.change(
            {pk: previewed[str(pk)] for pk in pks if str(pk) in previewed},
            rule,
            value,
            publish={pk for pk in pks if str(pk) in ticked},
            why=form.cleaned_data["why"],
            by=request.user,
            now=timezone.now(),
        )
        _tell(request, result, count=len(previewed))
        return redirect("admin:tenants_tenant_changelist")

    def _preview_rule(self, request: HttpRequest, pks: Sequence[int], rule: str, value: object) -> HttpResponse:
        lines = bulk_rules.preview(pks, rule, value, reader=request.user, now=timezone.now())
        form = RuleForm(_with_preview(request.POST, rule, value, lines), rule=rule)
        refusing = len(bulk_rules.refusing(pks, rule, value))
        more = {"is_preview": True, "lines": lines, "is_vain": not lines, "refusing": refusing}
        return self._rule_page(request, form, rule=rule, unchanged=len(pks) - len(lines) - refusing, **more)

    def _rule_page(self, request: HttpRequest, form: RuleForm, **more: Any) -> HttpResponse:
        template, title = "admin/tenants/tenant/bulk_rule_change.html", gettext("One rule for many clients")
        if more.get("rule") == "status_sync":
            _offer_possible(form.fields["value"], _visible(request, str(form["clients"].value())))
        chosen = len(str(form["clients"].value()).split(","))
        return self.render_page(request, template, title=title, form=form, chosen=chosen, **more)


def _visible(request: HttpRequest, clients: str) -> list[int]:
    """Return the clients named by a form that the user may see; each keeps its place."""
    named = [int(pk) for pk in clients.split(",")]
    visible = set(visible_to(Tenant.objects.filter(pk__in=named), request.user).values_list("pk", flat=True))
    return [pk for pk in named if pk in visible]


def _with_preview(posted: QueryDict, rule: str, value: object, lines: Sequence[Line]) -> QueryDict:
    data, clients = posted.copy(), {line.pk: line.seen for line in lines}
    data["previewed"] = json.dumps({"rule": rule, "value": str(value), "clients": clients})
    return data


def _previewed(posted: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the clients of the preview and the stamps in it; none if it was of another rule or value."""
    shown = load_object(posted["previewed"])
    is_same = (shown.get("rule"), shown.get("value")) == (posted["rule"], str(posted["value"]))
    clients = shown.get("clients")
    return clients if is_same and isinstance(clients, dict) else {}


def _tell(request: HttpRequest, result: Result, *, count: int) -> None:
    message = ngettext(
        "The rule is changed and published for %(count)d client.",
        "The rule is changed and published for %(count)d clients.",
        result.published,
    )
    messages.success(request, message % {"count": result.published})
    if result.unconfirmed:
        message = ngettext(
            "%(count)d client has a draft that is not published: it was not ticked.",
            "%(count)d clients have a draft that is not published: they were not ticked.",
            result.unconfirmed,
        )
        messages.warning(request, message % {"count": result.unconfirmed})
    for sentence in result.refused:
        messages.warning(request, sentence)
    if (left := count - result.drafted) > 0:
        message = ngettext(
            "%(count)d client is left unchanged: somebody else has changed their rules since the preview.",
            "%(count)d clients are left unchanged: somebody else has changed their rules since the preview.",
            left,
        )
        messages.warning(request, message % {"count": left})


def _value_field(rule: str) -> forms.Field:
    field = RULES[rule]
    label = capfirst(field.verbose_name)
    if rule in STATUS_FIELDS:  # A client's custom statuses do not exist for other clients.
        return forms.ChoiceField(label=label, choices=standard_statuses())
    if isinstance(field, models.BooleanField):
        return forms.TypedChoiceField(label=label, choices=YES_NO, coerce=lambda text: text == "True")
    typed: forms.Field = field.formfield(label=label)
    typed.validators += field.validators  # what the column can hold
    return typed


def _offer_possible(field: Any, pks: Sequence[int]) -> None:
    """Offer no value that none of the clients can have."""
    if pks and bulk_rules.refusing(pks, "status_sync", StatusSync.BOTH) == set(pks):
        field.choices = [choice for choice in field.choices if choice[0] != StatusSync.BOTH]
