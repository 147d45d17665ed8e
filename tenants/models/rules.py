"""A tenant's transfer rules, in one row."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project.core.choices import Choices
from tenants import contact_list, erased_numbers
from tenants.models.directory import Employee, PopupChoice, VirtualNumber
from tenants.models.tenant import Tenant
from tenants.transfer_rules import Filter, RuleSet, Selection

PRESENT = {"numbers": models.Q(is_active=True), "employees": models.Q(is_dismissed=False)}  # those that UIS still has


class TransferRules(models.Model):
    Popup = PopupChoice
    POPUP_FIELDS = {"in": "popup_incoming", "out": "popup_outgoing"}  # by direction

    class Owner(Choices):
        LAST_TALKER = "LAST_TALKER", _("who talked last")
        FIRST_TALKER = "FIRST_TALKER", _("who talked first")
        LONGEST_TALKER = "LONGEST_TALKER", _("who talked longest")

    class MissedOwner(Choices):
        LAST_RUNG = "LAST_RUNG", _("whose phone rang last")
        RESPONSIBLE = "RESPONSIBLE", _("the customer's manager in the CRM")
        NOBODY = "NOBODY", _("no owner")

    class RecordingLink(Choices):
        UIS = "UIS", _("UIS link")
        OURS = "OURS", _("our link, which can be revoked")

    class StatusSync(Choices):
        OFF = "OFF", _("off")
        CRM_TO_UIS = "CRM_TO_UIS", _("from the CRM to UIS")
        BOTH = "BOTH", _("both ways")

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="rules", verbose_name=_("client"))
    popup_incoming = models.CharField(
        _("pop-up, incoming"), max_length=10, choices=Popup.as_choices, default=Popup.ON_RING
    )
    popup_outgoing = models.CharField(
        _("pop-up, outgoing"), max_length=10, choices=Popup.as_choices, default=Popup.ON_RING
    )
    upload_answered = models.BooleanField(_("upload answered calls"), default=True)
    upload_missed = models.BooleanField(_("upload missed calls"), default=True)
    upload_outgoing = models.BooleanField(_("upload outgoing calls"), default=True)
    upload_internal = models.BooleanField(_("upload internal calls"), default=False)
    number_filter = models.CharField(_("virtual numbers"), max_length=6, choices=Filter.as_choices, default=Filter.ALL)
    numbers = models.ManyToManyField(VirtualNumber, blank=True, related_name="+", verbose_name=_("these numbers"))
    employee_filter = models.CharField(_("employees"), max_length=6, choices=Filter.as_choices, default=Filter.ALL)
    employees = models.ManyToManyField(Employee, blank=True, related_name="+", verbose_name=_("these employees"))
    contact_filter = models.CharField(_("contact numbers"), max_length=6, choices=Filter.as_choices, default=Filter.ALL)
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
        choices=RecordingLink.as_choices,
        default=RecordingLink.UIS,
        help_text=_("For calls uploaded from now on: an uploaded call cannot be changed."),
    )
    recording_days = models.PositiveSmallIntegerField(
        _("link lifetime, days"),
        null=True,
        blank=True,
        help_text=_("Counted from the call. If empty, as long as we keep the call. Applies to existing links too."),
    )
    owner = models.CharField(_("call owner"), max_length=20, choices=Owner.as_choices, default=Owner.LAST_TALKER)
    missed_owner = models.CharField(
        _("missed call owner"), max_length=20, choices=MissedOwner.as_choices, default=MissedOwner.LAST_RUNG
    )
    status_sync = models.CharField(
        _("statuses"), max_length=20, choices=StatusSync.as_choices, default=StatusSync.CRM_TO_UIS
    )
    status_free = models.CharField(_("“free” in UIS"), max_length=40, default="available")
    status_busy = models.CharField(_("“busy” in UIS"), max_length=40, default="do_not_disturb")
    status_dinner = models.CharField(_("“dinner” in UIS"), max_length=40, default="break")
    status_break = models.CharField(_("“break” in UIS"), max_length=40, default="break")

    class Meta:
        verbose_name = _("transfer rules")
        verbose_name_plural = _("transfer rules")

    def __str__(self) -> str:
        return str(self.tenant)

    def rule_set(self) -> RuleSet:
        """Return these rules as values; queries a list only if its filter is on."""
        return RuleSet(
            shows={"in": self.popup_incoming != self.Popup.OFF, "out": self.popup_outgoing != self.Popup.OFF},
            uploads_answered=self.upload_answered,
            uploads_missed=self.upload_missed,
            uploads_outgoing=self.upload_outgoing,
            uploads_internal=self.upload_internal,
            numbers=_selection(self.number_filter, self.numbers, "number"),
            employees=_selection(self.employee_filter, self.employees, "uis_id"),
            contacts=(self.contact_filter, self._contacts() if self.contact_filter != Filter.ALL else frozenset()),
        )

    def passes_something(self) -> bool:
        """Return whether each “only these” has something that a call may still have: rows that left UIS have none."""
        only = {"numbers": self.number_filter, "employees": self.employee_filter}
        rows = (getattr(self, name).filter(PRESENT[name]) for name, mode in only.items() if mode == Filter.ONLY)
        return (self.contact_filter != Filter.ONLY or bool(self._contacts())) and all(one.exists() for one in rows)

    @property
    def _uis_statuses(self) -> dict[str, str]:
        """The UIS status of each CRM status. The last one wins if several have the same UIS status."""
        return {name: getattr(self, f"status_{name}") for name in ("dinner", "break", "busy", "free")}

    def uis_status(self, crm_status: str) -> str:
        """Return the UIS status for a CRM status; an unknown one counts as busy."""
        return self._uis_statuses.get(crm_status, self.status_busy)

    def crm_status(self, uis_status: str) -> str:
        """Return the CRM status for a UIS status; an unmapped one counts as busy."""
        return {uis: crm for crm, uis in self._uis_statuses.items()}.get(uis_status, "busy")

    def _contacts(self) -> frozenset[object]:
        if not self.contacts:
            return frozenset()
        members = contact_list.members(self.contacts, region=self.tenant.uis.region)
        return erased_numbers.ContactList.create(self.tenant_id, members)


def _selection(mode: str, chosen: models.Manager[VirtualNumber] | models.Manager[Employee], field: str) -> Selection:
    return mode, frozenset() if mode == Filter.ALL else frozenset(chosen.values_list(field, flat=True))
