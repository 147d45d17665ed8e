"""What rules are refused for: lists of “only these” that would let nothing pass."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tenants.models import Employee, RuleDraft, Tenant, VirtualNumber
from tenants.models.rule_draft import PRESENT, VALUES
from tenants.rules import LISTS, Rules
from tenants.transfer_rules import Filter

NOTHING_CHOSEN = _("“Only these” with nothing chosen would skip every call. Choose what passes, or another filter.")
ALL_GONE = _("UIS no longer has any of these, so every call would be skipped. Choose what passes, or another filter.")
_ROWS: dict[str, Any] = {"numbers": VirtualNumber, "employees": Employee}


def passes_something(tenant: Tenant, rules: Rules) -> bool:
    """Return whether each “only these” has something that a call may still have."""
    return all(_refusal(tenant, rules, mode) is None for mode in LISTS)


def refuse_impassable(tenant: Tenant, before: Rules, after: Rules) -> None:
    """Raise ValidationError if a list that changes would let nothing pass."""
    for mode, name in LISTS.items():
        is_changed = any(getattr(before, one) != getattr(after, one) for one in (mode, name))
        if is_changed and (refusal := _refusal(tenant, after, mode)):
            label = RuleDraft._meta.get_field(name).verbose_name  # type: ignore[union-attr]
            raise ValidationError(f"{capfirst(str(label))}: {refusal}")


def _refusal(tenant: Tenant, rules: Rules, mode: str) -> object | None:
    name = LISTS[mode]
    members = getattr(rules, name)
    if getattr(rules, mode) != Filter.ONLY:
        return None
    if not members:
        return NOTHING_CHOSEN
    if name not in PRESENT:
        return None
    rows = _ROWS[name].objects.filter(PRESENT[name], tenant=tenant, **{f"{VALUES[name]}__in": members})
    return None if rows.exists() else ALL_GONE
