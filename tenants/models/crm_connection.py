"""A tenant's account at retailCRM."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from connector_project.core.encrypted_fields import EncryptedTextField
from connector_project.core.secret_tokens import DigestField, columns, generate_token, lost
from tenants.access_errors import AccessError
from tenants.account_url import is_same_host, validate_account_url
from tenants.models.connections import Connection, normalise_address
from tenants.models.directory import CrmUser, Employee
from tenants.models.held_account import one_holder
from tenants.models.remote_list import RemoteList
from tenants.models.tenant import Tenant, validate_time_zone


class CrmConnection(Connection):
    """A client's account in retailCRM (Simla)."""

    PROBE_TASK = "crm.tasks.probe"

    class Version(Choices):
        AUTO = "auto", _("newest supported")
        V5 = "v5", "v5"
        V4 = "v4", "v4"

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="crm", verbose_name=_("client"))
    address = models.URLField(
        _("address"),
        blank=True,
        validators=[validate_account_url],
        help_text=_("For example https://shop.retailcrm.ru. A new host needs its key: the stored one is deleted."),
    )
    # Another URL that the CRM reports, until it is known whether the account was renamed.
    reported_address = models.URLField(blank=True, default="", editable=False)
    key = EncryptedTextField(_("API key"), blank=True, if_undecryptable=str)
    version = models.CharField(_("version"), max_length=4, choices=Version.as_choices, default=Version.AUTO)
    served_version = models.CharField(_("version in use"), max_length=4, blank=True, editable=False)
    module_code = models.CharField(_("module code"), max_length=64, blank=True, editable=False)
    # One that cannot be decrypted matches no request.
    client_id = EncryptedTextField(editable=False, default=generate_token, if_undecryptable=generate_token)
    # The secret part of the URLs that the CRM calls; UIS has another one.
    hook = EncryptedTextField(editable=False, default=generate_token, if_undecryptable=lost)
    hook_digest = DigestField(of="hook")
    # Since when the CRM does not have our present URLs or clientId.
    module_outdated_since = models.DateTimeField(_("CRM lacks our new URLs since"), null=True, editable=False)
    site = models.CharField(
        _("store"), max_length=100, blank=True, help_text=_("Code of the store, if the key has access to several.")
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Read from the CRM. If empty, the client's time zone applies."),
    )
    stores = models.JSONField(default=list, editable=False)  # codes of the stores the key has access to, as last seen
    registered_module = models.JSONField(default=dict, editable=False)  # extensions and numbers last sent to the module
    registered_at = models.DateTimeField(_("module registered"), null=True, blank=True, editable=False)
    # One worker at a time compares and sends the module's list; the others ask it to look again.
    module_claim = models.UUIDField(null=True, editable=False)
    module_claimed_until = models.DateTimeField(null=True, editable=False)
    module_claimed_by = models.CharField(max_length=200, blank=True, default="", db_default="", editable=False)
    is_module_wanted = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = _("CRM connection")
        verbose_name_plural = _("CRM connections")
        constraints = [one_holder("crm_account_held_once")]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.address}"

    def complete(self, values: Mapping[str, str]) -> dict[str, str]:
        entered = super().complete(values)
        return entered if self.keeps_key(entered.get("address", self.address)) else {"key": ""} | entered

    def keeps_key(self, address: str) -> bool:
        """Return whether the stored key stays with this address: only who knows a key may name another host for it."""
        return not self.address or address == self.address or is_same_host(self.address, address)

    def try_anew(self, changed: Mapping[str, Any]) -> None:
        """Also forget what belongs to the previous account, if the address is now that of another one."""
        if self.is_other_account(changed.get("address")):
            self.forget_account()
        super().try_anew(changed)

    def is_other_account(self, before: str | None) -> bool:
        """Return whether this is another account than before: the same IDs are other users there."""
        return bool(before) and normalise_address(str(before)) != self.account

    @transaction.atomic
    def forget_account(self) -> None:
        """Delete all links after a change of account.

        The previous one still has our module, so a new clientId locks it out; the new one is registered from scratch.
        """
        Tenant.objects.lock_row(self.tenant_id)
        for employee in Employee.objects.select_for_update(no_key=True).filter(tenant=self.tenant_id).order_by("pk"):
            linked_by = Employee.LinkedBy.NOT_LINKED if employee.crm_user_id else employee.LinkedBy(employee.linked_by)
            employee.set_link(None, linked_by)
        CrmUser.objects.filter(tenant=self.tenant_id).delete()
        RemoteList.objects.filter(tenant=self.tenant_id, kind=RemoteList.Kind.CRM_USERS).delete()
        self.client_id, self.registered_module, self.registered_at, self.stores = generate_token(), {}, None, []
        self.save(update_fields=["client_id", "registered_module", "registered_at", "stores"])

    def rename(self, address: str, *, now: datetime) -> None:
        """Store the new address of the same account. All requests wait until its key is entered again.

        Users, links and our module stay; the module is then registered anew, for the CRM may have lost it.
        """
        self.address, self.key = address, ""
        self.save(update_fields=["address", "key"])
        self.mark_outdated(now=now)
        self.suspend(AccessError.KEY_MISSING, "The account was renamed.", now=now)

    @property
    def account(self) -> str:
        """The account's address in the form that addresses are compared in."""
        return normalise_address(self.address)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which the CRM reads dates."""
        return ZoneInfo(self.time_zone or self.tenant.time_zone)

    def code_of(self, employee: Employee | None) -> str:
        """Return the extension by which the CRM knows this very person; "" if it may be somebody else's there.

        An extension is used again for another person: the CRM takes it for the one who has it in the module then.
        """
        if employee is None or employee.crm_user_id is None:
            return ""
        return employee.extension if self.user_of(employee.extension) == employee.crm_user_id else ""

    def user_of(self, extension: str) -> int | None:
        """Return the CRM user to whom our module surely gives this extension; None if to nobody, or perhaps another."""
        lists = (self.registered_module.get(name, []) for name in ("codes", "manual_codes", "contested"))
        users = {int(user_id) for pairs in lists for user_id, code in pairs if code == extension}
        return users.pop() if len(users) == 1 else None

    def rotate_hook(self) -> None:
        """Replace the secret in the URLs that the CRM calls; the old one stops working at once."""
        self.hook = generate_token()
        self.save(update_fields=["hook", "hook_digest"])

    def replace_secrets(self) -> None:
        """Replace all that lets the CRM in: the secret in its URLs and the clientId."""
        values = new_secrets()
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=list(values))

    def mark_outdated(self, *, now: datetime) -> None:
        """Note that the CRM has not yet been told our new URLs; the sweep repeats it until it has."""
        if self.module_outdated_since is None:
            self.module_outdated_since = now
            self.save(update_fields=["module_outdated_since"])


def on_v4(prefix: str) -> models.Q:
    """Return the condition for connections that use version 4; `prefix` leads to the connection."""
    auto, v4 = CrmConnection.Version.AUTO, CrmConnection.Version.V4
    chosen, found = {f"{prefix}version": v4}, {f"{prefix}version": auto, f"{prefix}served_version": v4}
    return models.Q(**chosen) | models.Q(**found)


def new_secrets() -> dict[str, str]:
    """Return the columns that let the CRM in, with new values, for `QuerySet.update`."""
    return {"client_id": generate_token(), **columns("hook", generate_token())}
