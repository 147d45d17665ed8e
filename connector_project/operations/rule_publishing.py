"""Publishes rules of a client after asking about those that would skip every call."""

import functools
from datetime import datetime

from django.core.exceptions import ValidationError

from connector_project.operations import rule_previews
from telephony.calls import rule_forecast
from tenants import erased_numbers, rule_versions
from tenants.audit import Actor
from tenants.models import RuleDraft, RuleVersion, Tenant
from tenants.rule_differences import Difference, compare, names_of
from tenants.rules import Rules
from tenants.transfer_rules import Filter


def question(tenant: Tenant, rules: Rules, *, most: int = rule_previews.MOST_AT_ONCE, now: datetime) -> str:
    """Return the question whether all calls may be skipped, or more than usual; "" if there is nothing to ask.

    `most`: see `rule_previews.question`.
    """
    after = rules.rule_set(functools.partial(erased_numbers.token, tenant.pk))
    if after == tenant.rule_set and not _chooses_others(tenant.rules, rules):  # They skip the same calls.
        return ""
    forecast = rule_forecast.find_day_without_uploads(tenant, after, now=now)
    if forecast and not rule_forecast.find_day_without_uploads(tenant, tenant.rule_set, now=now):
        return str(forecast)
    return rule_previews.question(tenant, rules, most=most, now=now)


def _chooses_others(before: Rules, after: Rules) -> bool:
    """Whether calls may have other owners, and are filtered by them."""
    owners = [(rules.owner, rules.missed_owner) for rules in (before, after)]
    return after.employee_filter != Filter.ALL and owners[0] != owners[1]


def differences(tenant: Tenant, before: Rules, after: Rules, *, sees_numbers: bool) -> list[Difference]:
    """Return what differs in words. One query at most."""
    people = names_of(tenant, before, after)
    return compare(before, after, people=people, sees_numbers=sees_numbers)


def publish(draft: RuleDraft, *, seen: str, why: str, may_skip_all: bool, by: Actor, now: datetime) -> RuleVersion:
    """Publish the draft that a page has shown. Raises ValidationError with a sentence if it cannot be published.

    The question is about the draft that was shown: `rule_versions.publish` refuses any other.
    """
    _ask(draft.tenant, draft.value(), may_skip_all=may_skip_all, now=now)
    return rule_versions.publish(draft.tenant_id, seen=seen, why=why, by=by, now=now)


def roll_back(
    tenant: Tenant, version: RuleVersion, *, seen: int, why: str, may_skip_all: bool, by: Actor, now: datetime
) -> RuleVersion:
    """Publish the rules of an earlier version again. Raises ValidationError as `publish` does."""
    _ask(tenant, version.value, may_skip_all=may_skip_all, now=now)
    return rule_versions.roll_back(tenant.pk, version.number, seen=seen, why=why, by=by, now=now)


def _ask(tenant: Tenant, rules: Rules, *, may_skip_all: bool, now: datetime) -> None:
    if not may_skip_all and (text := question(tenant, rules, now=now)):
        raise ValidationError(text, code="skips_all")
