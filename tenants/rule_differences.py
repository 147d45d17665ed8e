"""The differences of two sets of rules in words, in the active language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from tenants import audit, contact_list, field_map_labels, permissions
from tenants.models import Employee, RuleDraft, Tenant
from tenants.rules import LISTS, NAMES, Rules

FIELD_MAP = "field_map"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One rule that is not the same; of a list what it gains and loses."""

    name: str
    label: str
    old: str = ""
    new: str = ""
    added: Sequence[str] = ()
    removed: Sequence[str] = ()

    def __str__(self) -> str:
        if self.name not in {*LISTS.values(), FIELD_MAP}:
            return _("“%(label)s”: %(old)s → %(new)s") % {"label": self.label, "old": self.old, "new": self.new}
        parts = ((_("added: %(entries)s"), self.added), (_("removed: %(entries)s"), self.removed))
        between = "; " if self.name == FIELD_MAP else ", "
        changes = "; ".join(text % {"entries": between.join(entries)} for text, entries in parts if entries)
        return _("“%(label)s”: %(changes)s") % {"label": self.label, "changes": changes}


def compare(before: Rules, after: Rules, *, people: Mapping[int, str], sees_numbers: bool = False) -> list[Difference]:
    """Return the differences in the order of the page; customers' numbers are masked unless the reader sees them.

    `people` names employees by their UIS id, as `names_of` returns them.
    """
    changed = [name for name in NAMES if getattr(before, name) != getattr(after, name)]
    return [_difference(name, before, after, people=people, sees_numbers=sees_numbers) for name in changed]


def names_of(tenant: Tenant, *rules: Rules) -> dict[int, str]:
    """Return the names of the employees in these rules, by UIS id. One query, none without employees."""
    ids = {uis_id for one in rules for uis_id in one.employees}
    rows = Employee.objects.filter(tenant=tenant, uis_id__in=ids) if ids else ()
    return {row.uis_id: str(row) for row in rows}


def entries(name: str, rules: Rules, *, people: Mapping[int, str], sees_numbers: bool) -> list[str]:
    """Return the entries of a list as people read them."""
    return [_entry(name, one, people=people, sees_numbers=sees_numbers) for one in getattr(rules, name)]


def _difference(name: str, before: Rules, after: Rules, *, people: Mapping[int, str], sees_numbers: bool) -> Difference:
    field: Any = RuleDraft._meta.get_field(name)
    label, old, new = capfirst(str(field.verbose_name)), getattr(before, name), getattr(after, name)
    if name == FIELD_MAP:
        gained_rows, lost_rows = field_map_labels.added_and_removed(old.rows, new.rows)
        return Difference(name=name, label=label, added=gained_rows, removed=lost_rows)
    if name not in LISTS.values():
        texts = (audit.describe_value(field, value) or "–" for value in (old, new))
        return Difference(name=name, label=label, old=next(texts), new=next(texts))
    gained, lost = ([one for one in new if one not in set(old)], [one for one in old if one not in set(new)])
    shown = partial(_entry, name, people=people, sees_numbers=sees_numbers)
    return Difference(
        name=name,
        label=label,
        added=[shown(one) for one in gained],
        removed=[shown(one) for one in lost],
    )


def _entry(name: str, value: Any, *, people: Mapping[int, str], sees_numbers: bool) -> str:
    if name == "employees":
        return people.get(value, _("UIS employee %(number)s, who is not in the list") % {"number": value})
    if name == "numbers":
        return f"+{value}"
    if contact_list.is_token(value):
        return _("an erased number")
    shown = contact_list.shown(value)
    return shown if sees_numbers else permissions.masked_list(shown)
