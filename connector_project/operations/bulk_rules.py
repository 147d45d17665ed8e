"""One rule for many clients: the draft of each is changed, and published where a person has confirmed it."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from connector_project.operations import rule_previews, rule_publishing
from tenants import audit, permissions, rule_versions
from tenants.audit import Actor
from tenants.models import AuditLogEntry, RuleDraft, Tenant
from tenants.models.crm_connection import on_v4
from tenants.rule_presets import SHARED_RULES
from tenants.rules import StatusSync

RULES = SHARED_RULES


@dataclass(frozen=True, kw_only=True)
class Line:
    """What would become of one client."""

    pk: str
    client: str
    seen: str  # the stamp of their draft
    now: str
    then: str
    others: Sequence[str]  # further differences, which somebody has drafted and not published
    stale: str  # why the draft cannot be published
    question: str  # whether all calls may be skipped

    @property
    def is_ready(self) -> bool:
        """Whether nothing speaks against publishing."""
        return not (self.others or self.stale or self.question)


@dataclass
class Result:
    drafted: int = 0
    published: int = 0
    unconfirmed: int = 0
    refused: list[str] = field(default_factory=list)  # sentences with the name of their client


def preview(pks: Collection[int], rule: str, value: object, *, reader: Actor, now: datetime) -> list[Line]:
    """Return what would change for each client, by name; those who have the value, or cannot, are left out."""
    return [_line(draft, rule, value, reader=reader, now=now) for draft in _differing(pks, rule, value)]


def change(
    previewed: Mapping[int, object],
    rule: str,
    value: object,
    *,
    publish: Set[int],
    why: str,
    by: Actor,
    now: datetime,
) -> Result:
    """Change the rule in the drafts of a preview, and publish those of the clients in `publish`.

    `previewed` are the stamps of the drafts in it: a draft, or a version, that has changed since is left alone. Each
    client has a transaction of their own, so that nobody waits for all of them.
    """
    result = Result()
    possible = sorted(set(previewed) - refusing(previewed, rule, value))
    for pk in possible:
        _change_one(pk, previewed[pk], rule, value, result, why=why if pk in publish else None, by=by, now=now)
    return result


def refusing(pks: Collection[int], rule: str, value: object) -> set[int]:
    """Return the clients who cannot have a value: version 4 of the CRM's API takes no statuses."""
    if (rule, value) != ("status_sync", StatusSync.BOTH):
        return set()
    rows = RuleDraft.objects.filter(on_v4("tenant__crm__"), tenant__in=pks).exclude(status_sync=StatusSync.BOTH)
    return set(rows.values_list("tenant_id", flat=True))


def _change_one(
    pk: int, seen: object, rule: str, value: object, result: Result, *, why: str | None, by: Actor, now: datetime
) -> None:
    """Change the draft of one client; without `why` it is not published."""
    with transaction.atomic():
        Tenant.objects.lock_row(pk)
        draft = next(iter(_differing([pk], rule, value)), None)
        if draft is None or rule_versions.stamp(draft) != seen:
            return
        _edit(draft, rule, value, by=by, now=now)
        if why is not None:
            # The page has shown all that differs; the box was the answer to its question.
            _publish(draft, result, why=why, by=by, now=now)
        else:
            result.unconfirmed += 1
        result.drafted += 1


def _edit(draft: RuleDraft, rule: str, value: object, *, by: Actor, now: datetime) -> None:
    old = getattr(draft, rule)
    if old == value:  # drafted by somebody already
        return
    setattr(draft, rule, value)
    draft.save(update_fields=[rule])
    rule_versions.note_edit(draft, by=by, now=now)
    changed = {"target": draft, "field": rule, "old": old, "new": value}
    audit.log(draft.tenant, AuditLogEntry.Action.CHANGED, now=now, by=by, **changed)


def _publish(draft: RuleDraft, result: Result, *, why: str, by: Actor, now: datetime) -> None:
    try:
        rule_versions.publish(draft.tenant_id, seen=rule_versions.stamp(draft), why=why, by=by, now=now)
        result.published += 1
    except ValidationError as exc:
        result.refused.append(f"{draft.tenant}: {' '.join(exc.messages)}")


def _line(draft: RuleDraft, rule: str, value: object, *, reader: Actor, now: datetime) -> Line:
    seen, tenant = rule_versions.stamp(draft), draft.tenant
    setattr(draft, rule, value)
    after, sees_numbers = draft.value(), permissions.can_see_full_numbers(reader)
    found = rule_publishing.differences(tenant, tenant.rules, after, sees_numbers=sees_numbers)
    return Line(
        pk=str(tenant.pk),
        client=tenant.name,
        seen=seen,
        now=_described(rule, getattr(tenant.rules, rule)),
        then=_described(rule, value),
        others=[str(one) for one in found if one.name != rule],
        stale=_staleness(draft),
        question=rule_publishing.question(tenant, after, most=rule_previews.MOST_OF_MANY, now=now),
    )


def _staleness(draft: RuleDraft) -> str:
    try:
        rule_versions.refuse_stale(draft, draft.tenant)
    except ValidationError as exc:
        return " ".join(exc.messages)
    return ""


def _described(rule: str, value: object) -> str:
    return audit.describe_value(RULES[rule], value) or "–"


def _differing(pks: Collection[int], rule: str, value: object) -> list[RuleDraft]:
    """Return the drafts of the clients who have another value in their draft, or in their current version."""
    possible = set(pks) - refusing(pks, rule, value)
    rows = RuleDraft.objects.filter(tenant__in=possible).order_by("tenant__name", "tenant__pk")
    drafts = rows.select_related("tenant__uis", "tenant__crm", "tenant__rule_version", "based_on")
    return [
        draft
        for draft in drafts.prefetch_related("numbers", "employees")
        if getattr(draft, rule) != value or getattr(draft.tenant.rules, rule) != value
    ]
