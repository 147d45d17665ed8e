"""The form for the keys on the client's page."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.edit_forms import MergingForm, SecretField
from crm import checks
from tenants import account_claims
from tenants.models import Connection, Tenant, UisConnection

LONGEST_PAGE = 8000  # the URL of a list page contains its filters


class KeysForm(MergingForm, forms.Form):
    """Both keys. An empty field keeps the stored key. Give it a locked client."""

    key_for = {"address": "key"}

    brand = forms.ChoiceField(label=_("Telephony"), choices=UisConnection.Brand.choices)
    access_token = SecretField(label=_("UIS access key"))
    address = forms.CharField(
        label=_("CRM address"),
        max_length=LONGEST_PAGE,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "https://shop.retailcrm.ru", "inputmode": "url"}),
    )
    key = SecretField(label=_("CRM API key"))

    def __init__(self, tenant: Tenant, data: Any = None) -> None:
        initial = {"brand": tenant.uis.brand, "address": tenant.crm.address}
        super().__init__(data, initial=initial, prefix=None, auto_id="keys-%s")
        self.tenant = tenant
        for name in ("access_token", "address", "key"):
            self.fields[name].widget.attrs["aria-describedby"] = f"hint-{name}"

    def opened_as(self) -> str:
        return f"keys.{self.tenant.pk}"

    def stored_value(self, name: str) -> Any:
        keys = {"access_token": self.tenant.uis.access_token, "key": self.tenant.crm.key}
        return keys[name] if name in keys else super().stored_value(name)

    def add_error(self, field: str | None, error: Any) -> None:
        """Link the error to its input for screen readers."""
        super().add_error(field, error)
        if field:
            attrs = self.fields[field].widget.attrs
            attrs["aria-invalid"], attrs["aria-describedby"] = "true", f"error-{field}"

    def clean_address(self) -> str:
        """Return the account URL: people paste the URL of any page of it."""
        address = account_of(self.cleaned_data["address"])
        if address and not (found := checks.is_account_address(address)).ok:
            raise forms.ValidationError(found.message)
        if address != self.tenant.crm.account:
            account_claims.refuse_used(self.tenant.crm, address=address)
        return address

    def clean_access_token(self) -> Any:
        key = self.cleaned_data["access_token"]
        if key != self.tenant.uis.access_token:
            account_claims.refuse_used(self.tenant.uis, key=key)
        return key

    def save(self) -> list[Connection]:
        """Store what was entered and restore suspended connections; return the connections that changed."""
        typed = self.cleaned_data
        new_values: dict[Connection, dict[str, str]] = {
            self.tenant.uis: {"brand": typed["brand"], "access_token": typed["access_token"]},
            self.tenant.crm: {"address": typed["address"], "key": typed["key"]},
        }
        return [connection for connection, values in new_values.items() if connection.change(**values)]


def account_of(typed: str) -> str:
    """Return the account URL for the URL of any of its pages."""
    typed = typed.strip()
    if not typed:
        return ""
    try:
        parts = urlsplit(typed if "://" in typed else f"https://{typed}")
    except ValueError:
        return typed
    return f"{parts.scheme}://{parts.netloc}".lower()
