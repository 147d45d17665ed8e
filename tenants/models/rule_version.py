"""RuleVersion: all rules of a client as published once; and the field that names the version of a decision."""

import time
from functools import cached_property, partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants import erased_numbers
from tenants.models.tenant import Tenant
from tenants.rules import Rules, loads
from tenants.transfer_rules import RuleSet

KEPT_SECONDS = 60.0  # a number that is erased from a version is no longer in memory then
MOST_KEPT = 2000


class ImmutableVersion(TypeError):
    """A published version was to be changed or deleted: publish another one."""


class RuleVersionQuerySet(models.QuerySet["RuleVersion"]):
    """Refuses what would change a version. Only a deleted client takes its versions along."""

    def update(self, **_values: Any) -> int:
        raise ImmutableVersion(self.model._meta.label)

    def bulk_update(self, *_args: Any, **_values: Any) -> int:
        raise ImmutableVersion(self.model._meta.label)

    def delete(self) -> Any:
        raise ImmutableVersion(self.model._meta.label)


class RuleVersion(models.Model):
    """The rules of a client, all of them, never changed; `operations.erasure` alone puts tokens for erased numbers."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="rule_versions", verbose_name=_("client"))
    number = models.PositiveIntegerField(_("version"))
    rules = models.JSONField(_("rules"), editable=False)  # the document of tenants.rules
    why = models.CharField(_("why"), max_length=500, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False, verbose_name=_("by")
    )
    published_at = models.DateTimeField(_("published"))

    objects = RuleVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("version of the rules")
        verbose_name_plural = _("versions of the rules")
        ordering = ("tenant", "-number")
        constraints = [models.UniqueConstraint(fields=["tenant", "number"], name="rule_version_once_per_tenant")]

    def __str__(self) -> str:
        return str(self.number)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableVersion(self._meta.label)
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> Any:
        raise ImmutableVersion(self._meta.label)

    @cached_property
    def value(self) -> Rules:
        """The rules; parsed once a minute in each process, however many calls ask. Raises InvalidRules."""
        return _parsed(self).value

    @cached_property
    def rule_set(self) -> RuleSet:
        """What decides about calls and pop-ups."""
        return _parsed(self).rule_set


class _Parsed(NamedTuple):
    document: dict[str, Any]
    value: Rules
    rule_set: RuleSet
    until: float


_kept: dict[int | None, _Parsed] = {}


def _parsed(version: RuleVersion) -> _Parsed:
    """Return what is kept of a version if its row has not changed since."""
    now, found = time.monotonic(), _kept.get(version.pk)
    if found is not None and found.until > now and found.document == version.rules:
        return found
    value = loads(version.rules)
    rule_set = value.rule_set(partial(erased_numbers.token, version.tenant_id))
    parsed = _Parsed(version.rules, value, rule_set, now + KEPT_SECONDS)
    if version.pk is not None:
        for key in [key for key, one in _kept.copy().items() if one.until <= now]:
            _kept.pop(key, None)
        if len(_kept) < MOST_KEPT:
            _kept[version.pk] = parsed
    return parsed


class RuleVersionField(models.ForeignKey[Any, Any]):
    """The version of its client's rules that decided about a row; the current one unless the row says another.

    Without an index: a version is never deleted but with its client, and nobody looks for the rows of one.
    """

    def __init__(self, **kwargs: Any) -> None:
        own: dict[str, Any] = {"to": "tenants.RuleVersion", "on_delete": models.RESTRICT}
        own |= {"related_name": "+", "db_index": False, "editable": False, "verbose_name": _("version of the rules")}
        super().__init__(**{**kwargs, **own})

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        if getattr(model_instance, self.attname) is None and not self.null:
            setattr(model_instance, self.attname, model_instance.tenant.rule_version_id)
        return super().pre_save(model_instance, add)
