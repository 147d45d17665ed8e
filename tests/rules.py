"""Publishes rules of clients in tests, as an operator does, without the questions."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from tenants import rule_versions
from tenants.models import RuleDraft, RuleVersion, Tenant
from tenants.rules import dumps


@transaction.atomic
def publish_rules(tenant: Tenant, **changed: Any) -> RuleVersion:
    """Publish rules of a client that differ so from the current ones; lists of numbers and employees are rows.

    The draft is changed first, so other drafted changes are published too. `tenant` has the new version at once.
    """
    draft = RuleDraft.objects.select_related("tenant__uis", "based_on").get(tenant=tenant)
    for name, value in changed.items():
        if name in {"numbers", "employees"}:
            getattr(draft, name).set(value)
        else:
            setattr(draft, name, value)
    draft.save()
    current = RuleVersion.objects.filter(tenant=tenant).latest("number")
    rules = dumps(draft.value())
    version = RuleVersion.objects.create(
        tenant=tenant, number=current.number + 1, rules=rules, why="test", published_at=timezone.now()
    )
    Tenant.objects.filter(pk=tenant.pk).update(rule_version=version)
    RuleDraft.objects.filter(pk=draft.pk).update(based_on=version)
    tenant.rule_version = version
    return version


def publish_rules_for_all(**changed: Any) -> None:
    """Publish rules of every client."""
    for tenant in Tenant.objects.order_by("pk"):
        publish_rules(tenant, **changed)


def draft_of(tenant: Tenant) -> RuleDraft:
    """Return the stored draft of a client."""
    return RuleDraft.objects.select_related("tenant__uis", "based_on").get(tenant=tenant.pk)


def current_rules(tenant: Tenant) -> Any:
    """Return the rules of a client that decide now, as stored."""
    return Tenant.objects.select_related("rule_version").get(pk=tenant.pk).rules


def begin_rules(tenant: Tenant) -> Tenant:
    """Give a client that a test has made of a bare row version 1 of their rules, the defaults."""
    rule_versions.begin(tenant, {}, now=timezone.now())
    return tenant
