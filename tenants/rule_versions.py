"""Publishes the rules of a client: a draft becomes a version, an old version becomes current again."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from connector_project.core.redaction import redact
from connector_project.core.transactions import atomic
from tenants import audit, rule_checks, rule_differences
from tenants.audit import Actor
from tenants.models import AuditLogEntry, RuleDraft, RuleVersion, Tenant, User
from tenants.rules import Rules, dumps

STALE = _(
    "Version %(number)s of the rules was published after this draft was begun. Nothing is published. Discard the "
    "draft, and make the change again."
)
EDITED = _("Somebody has changed the draft since you opened this page. Nothing is published. Look at it again.")
EDITED_BEFORE_DISCARD = _("Somebody has changed the draft since you opened this page. Nothing is discarded.")
EDITED_BEFORE_EDIT = _("Somebody has changed the draft since you opened this page. Nothing is saved. Look at it again.")
NO_DIFFERENCE = _("These are the current rules already. Nothing is published.")
MOVED_ON = _("Another version was published since you opened this page. Nothing is published. Look at it again.")
Action = AuditLogEntry.Action


def begin(tenant: Tenant, rules: Mapping[str, object], *, by: Actor = None, now: datetime) -> RuleVersion:
    """Publish version 1 of a new client: the defaults, and these rules. Needs the transaction that creates the client.

    Raises ValidationError that names the field.
    """
    draft = RuleDraft(tenant=tenant, **rules)
    draft.full_clean(exclude=["based_on"])
    draft.based_on = _store(tenant, draft.value(), 1, why="", by=by, now=now)
    draft.save()
    return draft.based_on


def stamp(draft: RuleDraft) -> str:
    """Return what a page remembers of the draft it shows: another one, or one of another version, has another stamp."""
    text = json.dumps(dumps(draft.value()), sort_keys=True)
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return f"{draft.based_on.number}.{digest}"


def is_drafting(draft: RuleDraft, tenant: Tenant) -> bool:
    """Return whether a draft differs from the current version of its client."""
    return draft.value() != tenant.rules


@atomic
def publish(tenant_id: int, *, seen: str, why: str, by: Actor, now: datetime) -> RuleVersion:
    """Publish the draft that a page has shown (`seen`, its stamp) as the next version, and say why.

    Raises ValidationError with a sentence if it is not that draft, is not based on the current version, differs in
    nothing, or would let nothing pass; then nothing has changed.
    """
    tenant, draft = _lock(tenant_id)
    refuse_stale(draft, tenant)
    if seen.partition(".")[0] != str(tenant.current_version.number):
        raise ValidationError(MOVED_ON)
    if stamp(draft) != seen:
        raise ValidationError(EDITED)
    version = _publish(tenant, draft.value(), why=why, by=by, now=now)
    _rebase(draft, version)
    return version


@atomic
def roll_back(tenant_id: int, number: int, *, seen: int, why: str, by: Actor, now: datetime) -> RuleVersion:
    """Publish the rules of an earlier version again, as the next one; `seen` is what the page called current.

    A draft that differs stays as it is, and is stale then. Raises ValidationError as `publish` does.
    """
    tenant, draft = _lock(tenant_id)
    if tenant.current_version.number != seen:
        raise ValidationError(MOVED_ON)
    earlier = RuleVersion.objects.get(tenant=tenant, number=number)
    is_free = not is_drafting(draft, tenant)
    version = _publish(tenant, earlier.value, why=why, by=by, now=now)
    if is_free:
        draft.take(version)
    return version


@atomic
def discard(tenant_id: int, *, seen: str, by: Actor, now: datetime) -> None:
    """Make the draft equal to the current version. Raises ValidationError if the page has shown another draft."""
    tenant, draft = _lock(tenant_id)
    if stamp(draft) != seen:
        raise ValidationError(EDITED_BEFORE_DISCARD)
    draft.take(tenant.current_version)
    audit.log(tenant, Action.DRAFT_DISCARDED, now=now, by=by, target=tenant.current_version)


@atomic
def edit(tenant_id: int, *, seen: str, by: Actor, now: datetime, **values: object) -> None:
    """Change columns of the draft that a page has shown (`seen`, its stamp).

    Raises ValidationError if somebody has changed it since, or a value is not valid; then nothing has changed.
    """
    _tenant, draft = _lock(tenant_id)
    if stamp(draft) != seen:
        raise ValidationError(EDITED_BEFORE_EDIT)
    for name, value in values.items():
        setattr(draft, name, value)
    draft.value()  # refuses what a version could not hold
    draft.save(update_fields=[*values])
    note_edit(draft, by=by, now=now)


def note_edit(draft: RuleDraft, *, by: Actor, now: datetime) -> None:
    """Note who edited the draft."""
    draft.edited_by, draft.edited_at = by if isinstance(by, User) else None, now
    draft.save(update_fields=["edited_by", "edited_at"])


def refuse_stale(draft: RuleDraft, tenant: Tenant) -> None:
    """Raise ValidationError if another version was published after the draft was begun."""
    if draft.based_on_id != tenant.rule_version_id:
        raise ValidationError(STALE % {"number": tenant.current_version.number})


def _lock(tenant_id: int) -> tuple[Tenant, RuleDraft]:
    tenant = Tenant.objects.lock(tenant_id)
    if tenant is None:
        raise Tenant.DoesNotExist
    draft = RuleDraft.objects.select_for_update(of=("self",), no_key=True).select_related("based_on").get(tenant=tenant)
    draft.tenant = tenant
    return tenant, draft


def _publish(tenant: Tenant, rules: Rules, *, why: str, by: Actor, now: datetime) -> RuleVersion:
    """Store the next version and make it current, with an entry for it and for each difference."""
    before = tenant.current_version
    if rules == before.value:
        raise ValidationError(NO_DIFFERENCE)
    rule_checks.refuse_impassable(tenant, before.value, rules)
    version = _store(tenant, rules, before.number + 1, why=why, by=by, now=now)
    _log(tenant, before, version, by=by, now=now)
    return version


def _store(tenant: Tenant, rules: Rules, number: int, *, why: str, by: Actor, now: datetime) -> RuleVersion:
    user = by if isinstance(by, User) else None
    version = RuleVersion.objects.create(
        tenant=tenant, number=number, rules=dumps(rules), why=why, published_by=user, published_at=now
    )
    tenant.rule_version = version
    tenant.save(update_fields=["rule_version"])
    return version


def _rebase(draft: RuleDraft, version: RuleVersion) -> None:
    draft.based_on, draft.edited_by, draft.edited_at = version, None, None
    draft.save(update_fields=["based_on", "edited_by", "edited_at"])


def _log(tenant: Tenant, before: RuleVersion, version: RuleVersion, *, by: Actor, now: datetime) -> None:
    common: dict[str, Any] = {"now": now, "by": by, "target": version}
    people = rule_differences.names_of(tenant, before.value, version.value)
    entries = [
        audit.build_entry(tenant, Action.RULES_PUBLISHED, **common, old=before.number, new=redact(version.why)),
    ]
    for name in (one.name for one in rule_differences.compare(before.value, version.value, people=people)):
        old, new = (_logged(name, one.value, people) for one in (before, version))
        entries.append(audit.build_entry(tenant, Action.CHANGED, **common, field=name, old=old, new=new))
    AuditLogEntry.objects.bulk_create(entries)


def _logged(name: str, rules: Rules, people: Mapping[int, str]) -> object:
    """Return what an entry has of a rule: no whole number, as the log outlives calls and everybody may read it."""
    value = getattr(rules, name)
    if isinstance(value, tuple):
        shown = rule_differences.entries(name, rules, people=people, sees_numbers=False)
        return "\n".join(shown) if name == audit.CONTACTS else shown
    return value
