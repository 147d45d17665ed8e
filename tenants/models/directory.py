"""A tenant's employees, CRM users, virtual numbers and UIS statuses."""

import functools

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_texts
from connector_project.core.choices import Choices
from connector_project.core.compiled_queries import CompiledSelect
from tenants import rule_labels
from tenants.models.tenant import Tenant


class EmployeeQuerySet(models.QuerySet["Employee"]):
    def linked(self) -> "EmployeeQuerySet":
        """Return current employees with a CRM user."""
        return self.filter(is_dismissed=False, crm_user_id__isnull=False)

    def unlinked(self) -> "EmployeeQuerySet":
        """Return current employees without a CRM user who need one."""
        without = self.filter(is_dismissed=False, crm_user_id=None)
        return without.exclude(linked_by=Employee.LinkedBy.NOT_NEEDED)

    def lock_all(self, tenant: Tenant) -> "list[Employee]":
        """Lock and return all employees of a client, by primary key, after the client's row."""
        return _all_locked().fetch(tenant=tenant.pk)


@functools.cache
def _all_locked() -> "CompiledSelect[Employee]":
    return CompiledSelect(
        lambda given: (
            Employee.objects.select_for_update(no_key=True).filter(tenant=given.integer("tenant")).order_by("pk")
        )
    )


class Employee(models.Model):
    """A UIS employee and the CRM user linked to them."""

    class LinkedBy(Choices):
        NOT_LINKED = "", _("not linked")
        EXTENSION = "EXTENSION", _("by extension")
        EMAIL = "EMAIL", _("by e-mail")
        MANUAL = "MANUAL", _("manually")
        NOT_NEEDED = "NOT_NEEDED", _("works without the CRM")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="employees", verbose_name=_("client"))
    uis_id = models.BigIntegerField(_("id in UIS"))
    full_name = models.CharField(_("full name"), max_length=250, blank=True)
    email = models.CharField(_("e-mail"), max_length=250, blank=True)
    extension = models.CharField(_("extension"), max_length=20, blank=True)
    numbers = models.JSONField(_("numbers"), default=list, blank=True)
    recording_mode = models.CharField(max_length=5, blank=True, editable=False)  # all, in, out, off; "" is unknown
    has_voice_mail = models.BooleanField(default=False, db_default=False, editable=False)  # of the extension
    caller_id_number = models.ForeignKey(
        "VirtualNumber", models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("caller ID")
    )
    popup = models.CharField(
        _("pop-up"),
        max_length=10,
        choices=rule_labels.popup_choices,
        blank=True,
        help_text=_("If empty, as in the client's rules. Otherwise for incoming and outgoing calls."),
    )
    is_dismissed = models.BooleanField(_("left UIS"), default=False, editable=False)
    crm_user_id = models.BigIntegerField(_("id in the CRM"), null=True, blank=True)
    linked_by = models.CharField(
        _("linked"), max_length=10, choices=LinkedBy.as_choices, blank=True, default=LinkedBy.NOT_LINKED, editable=False
    )
    previous_crm_user_id = models.BigIntegerField(
        null=True, editable=False
    )  # the CRM user before the employee left UIS or the CRM
    previous_linked_by = models.CharField(
        max_length=10, choices=LinkedBy.as_choices, blank=True, default=LinkedBy.NOT_LINKED, editable=False
    )  # how they were linked before; a manual link comes back with them
    uis_status = models.CharField(_("status in UIS"), max_length=40, blank=True, editable=False)
    synced_status = models.CharField(max_length=40, blank=True, editable=False)  # the UIS status last synced to the CRM
    last_sent_crm_status = models.CharField(max_length=20, blank=True, editable=False)
    status_commands = models.PositiveIntegerField(default=0, editable=False)  # how often the CRM's commands touched it

    objects = EmployeeQuerySet.as_manager()

    class Meta:
        verbose_name = _("employee")
        verbose_name_plural = _("employees")
        ordering = ("full_name", "pk")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "uis_id"], name="employee_once_per_tenant"),
            # Two employees linked to one CRM user would double its pop-ups and mix up its calls.
            models.UniqueConstraint(
                fields=["tenant", "crm_user_id"],
                condition=models.Q(crm_user_id__isnull=False),
                name="employee_crm_user_once_per_tenant",
                violation_error_message=_("Another employee is linked to this CRM user."),
            ),
            models.CheckConstraint(
                condition=~models.Q(linked_by="NOT_NEEDED") | models.Q(crm_user_id__isnull=True),
                name="employee_not_needed_has_no_user",
                violation_error_message=_("An employee who works without the CRM has no user there."),
            ),
        ]
        indexes = [models.Index(fields=["tenant", "extension"], name="employee_by_extension")]

    def __str__(self) -> str:
        # A name may hold a number, and every reader of a page or a log sees this.
        return f"{phone_texts.mask(self.full_name)} ({self.extension or '–'})"

    @property
    def is_unlinked(self) -> bool:
        """Whether this row is one of `unlinked()`."""
        return not self.crm_user_id and not self.is_dismissed and self.linked_by != self.LinkedBy.NOT_NEEDED

    @property
    def link_state(self) -> str:
        """What a page shows of the link, to find out later whether it has changed."""
        return f"{self.crm_user_id or ''}:{self.linked_by}"

    def link_automatically(self, crm_user_id: int, linked_by: LinkedBy) -> None:
        """Link to a CRM user; a link made by hand before comes back instead, as soon as its user does."""
        if self.previous_linked_by != self.LinkedBy.MANUAL:
            return self.set_link(crm_user_id, linked_by)
        self.crm_user_id, self.linked_by = crm_user_id, linked_by
        return self._save_link()

    def set_link(self, crm_user_id: int | None, linked_by: LinkedBy, *, former: int | None = None) -> None:
        """Link to a CRM user, or unlink; `former` is the user to suggest again. Other fields are not saved."""
        self.crm_user_id, self.linked_by, self.previous_crm_user_id = crm_user_id, linked_by, former
        self.previous_linked_by = self.LinkedBy.NOT_LINKED
        self._save_link()

    def release(self) -> None:
        """Unlink because the employee or the user is gone; remember the link for the case that they come back.

        One made by hand is remembered before all others.
        """
        if self.previous_linked_by != self.LinkedBy.MANUAL or self.linked_by == self.LinkedBy.MANUAL:
            self.previous_crm_user_id, self.previous_linked_by = self.crm_user_id, self.linked_by
        self.crm_user_id, self.linked_by = None, self.LinkedBy.NOT_LINKED
        self._save_link()

    def _save_link(self) -> None:
        self.save(update_fields=["crm_user_id", "linked_by", "previous_crm_user_id", "previous_linked_by"])


class CrmUser(models.Model):
    """A user of the tenant's CRM, as of the last sync."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="crm_users", verbose_name=_("client"))
    crm_id = models.BigIntegerField(_("id in the CRM"))
    name = models.CharField(_("name"), max_length=250, blank=True)
    email = models.CharField(_("e-mail"), max_length=250, blank=True)
    phone = models.CharField(_("phone"), max_length=32, blank=True)
    is_active = models.BooleanField(_("active in the CRM"), default=True)

    class Meta:
        verbose_name = _("CRM user")
        verbose_name_plural = _("CRM users")
        ordering = ("name", "pk")
        constraints = [models.UniqueConstraint(fields=["tenant", "crm_id"], name="crm_user_once_per_tenant")]

    def __str__(self) -> str:
        return phone_texts.mask(self.name) or str(self.crm_id)


class VirtualNumber(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="virtual_numbers", verbose_name=_("client"))
    number = models.CharField(_("number"), max_length=32)
    name = models.CharField(_("name"), max_length=250, blank=True)
    is_active = models.BooleanField(_("active in UIS"), default=True, editable=False)
    site = models.CharField(
        _("store"), max_length=100, blank=True, help_text=_("Code of the store this number belongs to.")
    )
    voice_mail_at = models.DateTimeField(null=True, editable=False)  # of the last call that had one in UIS's report
    is_default = models.BooleanField(
        _("default"), default=False, help_text=_("Used for click-to-call when no other number fits.")
    )

    class Meta:
        verbose_name = _("virtual number")
        verbose_name_plural = _("virtual numbers")
        ordering = ("number",)
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="number_once_per_tenant"),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(is_default=True),
                name="one_default_number_per_tenant",
                violation_error_message=_("Only one number can be the default."),
            ),
        ]

    def __str__(self) -> str:
        return f"+{self.number}"


class UisStatus(models.Model):
    """A status that the tenant's employees can have in UIS."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="uis_statuses", verbose_name=_("client"))
    uis_id = models.BigIntegerField()
    mnemonic = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("UIS status")
        verbose_name_plural = _("UIS statuses")
        constraints = [models.UniqueConstraint(fields=["tenant", "uis_id"], name="status_once_per_tenant")]

    def __str__(self) -> str:
        return self.name

    @property
    def code(self) -> str:
        """The value used in the transfer rules: the mnemonic, or the id of a custom status."""
        return self.mnemonic or str(self.uis_id)
