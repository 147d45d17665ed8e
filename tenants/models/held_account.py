"""The account at a vendor that a connection leads to; one client holds it (see tenants.account_claims)."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class HeldAccount(models.Model):
    # The vendor's id, once the vendor has told which account the key is for.
    account_id = models.CharField(_("account"), max_length=255, blank=True, editable=False)
    holds_account = models.BooleanField(default=False, editable=False)

    class Meta:
        abstract = True


def one_holder(name: str) -> models.UniqueConstraint:
    """Return the constraint that clients do not share an account; it cannot begin with the tenant."""
    return models.UniqueConstraint(fields=["account_id"], condition=models.Q(holds_account=True), name=name)
