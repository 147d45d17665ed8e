"""RuleDraft: the rules of a client while people edit them, in one row; published, they become a RuleVersion."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants import contact_list, rule_labels
from tenants.models.directory import Employee, VirtualNumber
from tenants.models.rule_version import RuleVersion
from tenants.models.tenant import Tenant
from tenants.rules import LISTS, NAMES, MissedOwner, Owner, PopupChoice, RecordingKind, Rules, StatusSync
from tenants.transfer_rules import Filter

PRESENT = {"numbers": models.Q(is_active=True), "employees": models.Q(is_dismissed=False)}  # those that UIS still has
VALUES = {"numbers": "number", "employees": "uis_id"}  # what a version has of a chosen row


class RuleDraft(models.Model):
    """Equal to the current version while nobody drafts anything; decides nothing."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="draft", verbose_name=_("client"))
    popup_incoming = models.CharField(
        _("pop-up, incoming"), max_length=10, choices=rule_labels.popup_choices, default=PopupChoice.ON_RING.value
    )
    popup_outgoing = models.CharField(
        _("pop-up, outgoing"), max_length=10, choices=rule_labels.popup_choices, default=PopupChoice.ON_RING.value
    )
    upload_answered = models.BooleanField(_("upload answered calls"), default=True)
    upload_missed = models.BooleanField(_("upload missed calls"), default=True)
    upload_outgoing = models.BooleanField(_("upload outgoing calls"), default=True)
    upload_internal = models.BooleanField(_("upload internal calls"), default=False)
    number_filter = models.CharField(
        _("virtual numbers"), max_length=6, choices=rule_labels.filters, default=Filter.ALL.value
    )
    numbers = models.ManyToManyField(VirtualNumber, blank=True, related_name="+", verbose_name=_("these numbers"))
    employee_filter = models.CharField(
        _("employees"), max_length=6, choices=rule_labels.filters, default=Filter.ALL.value
    )
    employees = models.ManyToManyField(Employee, blank=True, related_name="+", verbose_name=_("these employees"))
    contact_filter = models.CharField(
        _("contact numbers"), max_length=6, choices=rule_labels.filters, default=Filter.ALL.value
    )
    contacts = models.TextField(
        _("these contacts"), blank=True, help_text=_("One number, or mask such as 7495123* or 8800*, per line.")
    )
    send_recording = models.BooleanField(_("send the recording link"), default=True)
    recording_wait_minutes = models.PositiveSmallIntegerField(
        _("wait for the recording, minutes"),
        default=10,
        help_text=_("For the UIS link. A later recording is played by our link, which the CRM gets instead."),
    )
    recording_link = models.CharField(
        _("which link the CRM gets"),
        max_length=4,
        choices=rule_labels.recording_kinds,
        default=RecordingKind.UIS.value,
        help_text=_("For calls uploaded from now on: an uploaded call cannot be changed."),
    )
    recording_days = models.PositiveSmallIntegerField(
        _("link lifetime, days"),
        null=True,
        blank=True,
        help_text=_("Counted from the call. If empty, as long as we keep the call. Applies to existing links too."),
    )
    owner = models.CharField(
        _("call owner"), max_length=20, choices=rule_labels.owners, default=Owner.LAST_TALKER.value
    )
    missed_owner = models.CharField(
        _("missed call owner"), max_length=20, choices=rule_labels.missed_owners, default=MissedOwner.LAST_RUNG.value
    )
    status_sync = models.CharField(
        _("statuses"), max_length=20, choices=rule_labels.status_syncs, default=StatusSync.CRM_TO_UIS.value
    )
    status_free = models.CharField(_("“free” in UIS"), max_length=40, default="available")
    status_busy = models.CharField(_("“busy” in UIS"), max_length=40, default="do_not_disturb")
    status_dinner = models.CharField(_("“dinner” in UIS"), max_length=40, default="break")
    status_break = models.CharField(_("“break” in UIS"), max_length=40, default="break")

    based_on = models.ForeignKey(
        RuleVersion, models.RESTRICT, related_name="+", db_index=False, editable=False, verbose_name=_("based on")
    )
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False, editable=False
    )
    edited_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("draft of the rules")
        verbose_name_plural = _("drafts of the rules")

    def __str__(self) -> str:
        return str(self.tenant)

    def value(self, **chosen: Sequence[Any]) -> Rules:
        """Return the rules that this draft would publish; `chosen` rows replace stored ones that are not saved yet.

        Of the version it is based on it keeps the numbers and employees of which there is no row: nobody can choose
        them, or not choose them.
        """
        lists = {name: chosen[name] if name in chosen else self._stored_rows(name) for name in VALUES}
        values = {name: getattr(self, name) for name in NAMES if name not in LISTS.values()}
        contacts = contact_list.members(self.contacts, region=self.tenant.uis.region) if self.contacts else ()
        return Rules(
            **values,
            numbers=tuple(sorted({row.number for row in lists["numbers"]} | self._without_row("numbers"))),
            employees=tuple(sorted({row.uis_id for row in lists["employees"]} | self._without_row("employees"))),
            contacts=tuple(sorted(map(str, contacts))),
        )

    def take(self, version: RuleVersion) -> None:
        """Become a version, on which the next draft is based, and save."""
        rules = version.value
        for name in NAMES:
            if name not in LISTS.values():
                setattr(self, name, getattr(rules, name))
        self.contacts = "\n".join(contact_list.shown(entry) for entry in rules.contacts)
        self.based_on, self.edited_by, self.edited_at = version, None, None
        self.save()
        self.numbers.set(VirtualNumber.objects.filter(tenant=self.tenant_id, number__in=rules.numbers))
        self.employees.set(Employee.objects.filter(tenant=self.tenant_id, uis_id__in=rules.employees))

    def _stored_rows(self, name: str) -> Sequence[Any]:
        return list(getattr(self, name).all()) if self.pk is not None else []

    def _without_row(self, name: str) -> set[Any]:
        kept = set(getattr(self.based_on.value, name)) if self.based_on_id else set()
        if not kept:
            return set()
        model: Any = VirtualNumber if name == "numbers" else Employee
        rows = model.objects.filter(tenant=self.tenant_id, **{f"{VALUES[name]}__in": kept})
        return kept - set(rows.order_by().values_list(VALUES[name], flat=True))
