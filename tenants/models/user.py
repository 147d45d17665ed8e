"""The staff user, and which tenants they may see."""

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class User(AbstractUser):  # type: ignore[django-manager-missing]  # django-otp has no types
    """An operator or support agent. Clients have no account here: they use their activation link."""

    sees_all_tenants = models.BooleanField(
        _("sees all clients"),
        default=True,
        help_text=_("Without it, only the clients chosen below. Superusers see all."),
    )
    visible_tenants = models.ManyToManyField(Tenant, blank=True, related_name="+", verbose_name=_("visible clients"))

    @cached_property
    def visible_tenant_ids(self) -> list[int]:
        """The chosen tenants; no limit for users who see all. One query per request."""
        return list(self.visible_tenants.order_by("pk").values_list("pk", flat=True))

    @classmethod
    def visible_condition(cls, tenant_ids: Collection[int], _user: Any) -> Q:
        """Return which colleagues a user with a set of tenants manages: only those who see no more."""
        chosen = cls.visible_tenants.through._default_manager.filter(user=OuterRef("pk"))
        return Q(~Exists(chosen.exclude(tenant__in=tenant_ids)), is_superuser=False, sees_all_tenants=False)

    # Sessions of an older epoch are over; `staff_accounts.end_sessions` begins a new one.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    def get_session_auth_hash(self) -> str:
        """Return what each session must carry: it changes with the password and the epoch."""
        return self._session_hash()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(secret)

    def _session_hash(self, secret: str | bytes | None = None) -> str:
        state = f"{self.session_epoch} {self.password}"
        return salted_hmac("tenants.User.session", state, secret=secret, algorithm="sha256").hexdigest()
