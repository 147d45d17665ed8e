"""Changes one transfer rule for many clients, with a preview."""

import json
from collections.abc import Mapping, Sequence, Set
from copy import copy
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.admin.fingerprints import load_object
from telephony.calls import rule_forecast
from tenants import audit
from tenants.forms import standard_statuses
from tenants.models import AuditLogEntry, Tenant, TransferRules
from tenants.models.crm_connection import on_v4
from tenants.rule_presets import SHARED_RULES
from tenants.status_labels import STATUS_FIELDS
from tenants.visibility import visible_to

RULES = SHARED_RULES
LONGEST_SELECTION = 100_000  # characters: more clients than any list selects, fewer than a query takes
SYNC = TransferRules.StatusSync
SKIP_ALL = "skip_all"  # boxes of the preview, by client
YES_NO = (("True", _("yes")), ("False", _("no")))


class RuleForm(forms.Form):
    """First the rule is chosen; a form with a rule asks for its new value."""

    clients = forms.RegexField(r"^[0-9]{1,18}(,[0-9]{1,18})*$", max_length=LONGEST_SELECTION, widget=forms.HiddenInput)
    # What the preview showed, as JSON: {"rule": …, "value": …, "clients": {client: their value until now}}.
    previewed = forms.CharField(required=False, widget=forms.HiddenInput)
    rule = forms.ChoiceField(
        label=_("Rule"), choices=lambda: [(name, capfirst(field.verbose_name)) for name, field in RULES.items()]
    )

    def __init__(self, *args: Any, rule: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if rule in RULES:
            self.fields["rule"].widget = forms.HiddenInput()
            self.fields["value"] = _value_field(rule)


class BulkRuleChangeMixin(BaseAdmin):
    """Adds the action that changes one rule for many clients."""

    @admin.action(description=_("Change one rule for the selected clients…"), permissions=["change"])
    def change_one_rule(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse:
        pks = ",".join(str(pk) for pk in queryset.order_by().values_list("pk", flat=True))
        return self._rule_page(request, RuleForm(initial={"clients": pks}))

    @page("bulk-rule-change/", name="tenants_tenant_bulk_rule_change", permission="tenants.change_tenant")
    def bulk_rule_change_view(self, request: HttpRequest) -> HttpResponseBase:
        """Three steps: choose the rule, enter the value, confirm what the preview showed."""
        rule = request.POST.get("rule", "")
        form = RuleForm(request.POST, rule=rule)
        if request.method != "POST" or "clients" in form.errors:
            return redirect("admin:tenants_tenant_changelist")
        if "value" not in request.POST and rule in RULES:
            return self._rule_page(request, RuleForm(initial=form.cleaned_data, rule=rule), rule=rule)
        if not form.is_valid():
            return self._rule_page(request, form, rule=rule if rule in RULES else "")
        pks, value = _visible(request, form.cleaned_data["clients"]), form.cleaned_data["value"]
        now, previewed = timezone.now(), _previewed(form.cleaned_data)
        if "confirm" not in request.POST or not previewed:
            lines = preview(pks, rule, value, now=now)
            form = RuleForm(_with_preview(request.POST, rule, value, lines), rule=rule)
            refusing = len(_refusing(pks, rule, value))
            more = {"is_preview": True, "lines": lines, "is_vain": not lines, "refusing": refusing}
            more["unchanged"] = len(pks) - len(lines) - refusing
            return self._rule_page(request, form, rule=rule, **more)
        confirmed = set(request.POST.getlist(SKIP_ALL))
        asked = clients_to_ask(pks, rule, value, confirmed=confirmed, now=now)
        count = change(
            [pk for pk in pks if pk not in asked], rule, value, previewed=previewed, by=request.user, now=now
        )
        message = ngettext(
            "The rule is changed for %(count)d client.", "The rule is changed for %(count)d clients.", count
        )
        messages.success(request, message % {"count": count})
        if asked:
            _warn_of_unconfirmed(request, len(asked))
        if (left := len(previewed) - len(asked) - count) > 0:
            _warn_of_changed(request, left)
        return redirect("admin:tenants_tenant_changelist")

    def _rule_page(self, request: HttpRequest, form: RuleForm, **more: Any) -> HttpResponse:
        template, title = "admin/tenants/tenant/bulk_rule_change.html", gettext("One rule for many clients")
        if more.get("rule") == "status_sync":
            _offer_possible(form.fields["value"], _visible(request, str(form["clients"].value())))
        chosen = len(str(form["clients"].value()).split(","))
        return self.render_page(request, template, title=title, form=form, chosen=chosen, **more)


def preview(pks: Sequence[int], rule: str, value: object, *, now: datetime) -> list[dict[str, str]]:
    """Return what changes for each client; `skips` says that all calls of the last day would have been skipped."""

    def describe(value: object) -> str:
        return audit.describe_value(RULES[rule], value) or "–"

    rows = _differing(pks, rule, value).order_by("tenant__name", "tenant__pk")
    return [
        {
            "pk": str(row.tenant_id),
            "client": row.tenant.name,
            "value": audit.shown(getattr(row, rule)),
            "now": describe(getattr(row, rule)),
            "then": describe(value),
            "skips": _skips(row, rule, value, now=now),
        }
        for row in rows
    ]


def clients_to_ask(pks: Sequence[int], rule: str, value: object, *, confirmed: Set[str], now: datetime) -> set[int]:
    """Return the clients whose calls would all be skipped, and for whom nobody has confirmed it."""
    if not _can_skip(rule, value):
        return set()
    rows = _differing(pks, rule, value)
    asked = (row for row in rows if str(row.tenant_id) not in confirmed)
    return {row.tenant_id for row in asked if _skips(row, rule, value, now=now)}


def _can_skip(rule: str, value: object) -> bool:
    return rule.startswith("upload_") and value is False


def _skips(row: TransferRules, rule: str, value: object, *, now: datetime) -> str:
    """Return the question whether all calls may be skipped; "" if some were uploaded, or none were anyway."""
    if not _can_skip(rule, value):
        return ""
    before, after = row.rule_set(), copy(row)
    setattr(after, rule, value)
    forecast = rule_forecast.find_day_without_uploads(row.tenant, after.rule_set(), now=now)
    is_new = forecast and not rule_forecast.find_day_without_uploads(row.tenant, before, now=now)
    return str(forecast) if is_new else ""


@transaction.atomic
def change(
    pks: Sequence[int],
    rule: str,
    value: object,
    *,
    previewed: Mapping[str, object],
    by: Any,
    now: datetime,
) -> int:
    """Change the rule of the clients in a preview, with an audit entry for each; return how many.

    `previewed` are their values in it: clients whose rule has changed since are left alone.
    """
    list(Tenant.objects.filter(pk__in=pks).select_for_update(no_key=True).order_by("pk").values_list("pk"))
    rows = list(_differing(pks, rule, value).select_for_update(of=("self",), no_key=True).order_by("pk"))
    rows = [row for row in rows if previewed.get(str(row.tenant_id)) == audit.shown(getattr(row, rule))]
    action = AuditLogEntry.Action.CHANGED
    AuditLogEntry.objects.bulk_create(
        audit.build_entry(row.tenant, action, now=now, by=by, target=row, field=rule, old=getattr(row, rule), new=value)
        for row in rows
    )
    TransferRules.objects.filter(pk__in=[row.pk for row in rows]).update(**{rule: value})
    return len(rows)


def _visible(request: HttpRequest, clients: str) -> list[int]:
    """Return the clients named by a form that the user may see; each keeps its place."""
    named = [int(pk) for pk in clients.split(",")]
    visible = set(visible_to(Tenant.objects.filter(pk__in=named), request.user).values_list("pk", flat=True))
    return [pk for pk in named if pk in visible]


def _with_preview(posted: QueryDict, rule: str, value: object, lines: Sequence[dict[str, str]]) -> QueryDict:
    data, clients = posted.copy(), {line["pk"]: line["value"] for line in lines}
    data["previewed"] = json.dumps({"rule": rule, "value": str(value), "clients": clients})
    return data


def _previewed(posted: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the clients of the preview and their values in it; none if it was of another rule or value."""
    shown = load_object(posted["previewed"])
    is_same = (shown.get("rule"), shown.get("value")) == (posted["rule"], str(posted["value"]))
    clients = shown.get("clients")
    return clients if is_same and isinstance(clients, dict) else {}


def _warn_of_changed(request: HttpRequest, count: int) -> None:
    message = ngettext(
        "%(count)d client is left unchanged: somebody else has changed the rule since the preview.",
        "%(count)d clients are left unchanged: somebody else has changed the rule since the preview.",
        count,
    )
    messages.warning(request, message % {"count": count})


def _warn_of_unconfirmed(request: HttpRequest, count: int) -> None:
    message = ngettext(
        "%(count)d client is left unchanged: all their calls would be skipped, and that was not confirmed.",
        "%(count)d clients are left unchanged: all their calls would be skipped, and that was not confirmed.",
        count,
    )
    messages.warning(request, message % {"count": count})


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


def _differing(pks: Sequence[int], rule: str, value: object) -> QuerySet[TransferRules]:
    """Return the rules to change: not those of clients who have the value, or cannot."""
    possible = set(pks) - _refusing(pks, rule, value)
    return TransferRules.objects.select_related("tenant__uis").filter(tenant__in=possible).exclude(**{rule: value})


def _offer_possible(field: Any, pks: Sequence[int]) -> None:
    """Offer no value that none of the clients can have."""
    if pks and _refusing(pks, "status_sync", SYNC.BOTH) == set(pks):
        field.choices = [choice for choice in field.choices if choice[0] != SYNC.BOTH]


def _refusing(pks: Sequence[int], rule: str, value: object) -> set[int]:
    """Return the clients who cannot have a value: version 4 of the CRM's API takes no statuses."""
    if (rule, value) != ("status_sync", SYNC.BOTH):
        return set()
    rows = TransferRules.objects.filter(on_v4("tenant__crm__"), tenant__in=pks).exclude(status_sync=SYNC.BOTH)
    return set(rows.values_list("tenant_id", flat=True))
