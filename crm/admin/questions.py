"""Filters of the client list: by problem and by state."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from crm.diagnosis import State, of_today, zones_in_use
from telephony.models import Call
from tenants.finding import Text
from tenants.models import Employee, Tenant


class Question(NamedTuple):
    """A problem, and the condition for clients that have it."""

    text: Text
    answer: Callable[[datetime], Q]


def _unlinked(_now: datetime) -> Q:
    employees = Employee.objects.filter(tenant=OuterRef("pk"), is_dismissed=False, crm_user_id=None)
    return Q(Exists(employees.exclude(linked_by=Employee.LinkedBy.NOT_NEEDED)), left_at=None)


def _failed_calls(now: datetime) -> Q:
    failed = Call.objects.filter(of_today("stopped_at", zones_in_use(), now=now), tenant=OuterRef("pk"))
    return Q(Exists(failed))


QUESTIONS = {
    "uis": Question(_("access denied by UIS"), lambda _now: Q(uis__denied_at__isnull=False, left_at=None)),
    "crm": Question(_("access denied by the CRM"), lambda _now: Q(crm__denied_at__isnull=False, left_at=None)),
    "silent": Question(_("no events"), lambda _now: Q(rank=State.SILENT)),
    "unlinked": Question(_("unlinked employees"), _unlinked),
    "checks": Question(_("failing checks"), lambda _now: Q(checkup__failing__gt=0, left_at=None)),
    "activation": Question(
        _("activation failed or not started"), lambda _now: Q(rank__in=[State.STOPPED, State.NOT_ACTIVATED])
    ),
    "calls": Question(_("calls that failed today"), _failed_calls),
}


class WhatIsWrong(admin.SimpleListFilter):
    title = _("what is wrong")
    parameter_name = "wrong"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(name, str(question.text)) for name, question in QUESTIONS.items()]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Tenant]) -> QuerySet[Tenant]:
        question = QUESTIONS.get(self.value() or "")
        return queryset.filter(question.answer(timezone.now())) if question else queryset


class HowHeIs(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(state.name, str(state.label)) for state in State]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(rank=State[name]) if name in State.names else queryset
