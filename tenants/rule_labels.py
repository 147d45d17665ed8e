"""What the codes of rules mean to people, and the choices of the fields that store them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from tenants.rules import MissedOwner, Owner, PopupChoice, RecordingKind, StatusSync
from tenants.transfer_rules import Filter, SkipReason

SKIP_REASONS: Mapping[SkipReason, Text] = {
    SkipReason.ANSWERED_OFF: _("answered calls are not uploaded"),
    SkipReason.MISSED_OFF: _("missed calls are not uploaded"),
    SkipReason.OUTGOING_OFF: _("outgoing calls are not uploaded"),
    SkipReason.INTERNAL_OFF: _("internal calls are not uploaded"),
    SkipReason.NUMBER: _("calls of this virtual number are filtered out"),
    SkipReason.EMPLOYEE: _("calls of this employee are filtered out"),
    SkipReason.CONTACT: _("calls of this contact number are filtered out"),
    SkipReason.EXPIRED: _("the call is older than the upload window"),
    SkipReason.HIDDEN_NUMBER: _("the caller's number is hidden, and the CRM accepts no call without a number"),
    SkipReason.MANUAL: _("skipped manually"),
    SkipReason.NOT_IMPORTED: _("the import of past calls was started without calls of this kind"),
    SkipReason.ERASED: _("the number was erased at the request of its owner"),
    SkipReason.POPUP_OFF: _("pop-ups are off for this direction or this employee"),
    SkipReason.FIELD_MAP: _("the field map leaves such calls out"),
}
FILTERS: Mapping[Filter, Text] = {
    Filter.ALL: _("all"),
    Filter.ONLY: _("only these"),
    Filter.EXCEPT: _("all but these"),
}
POPUP_CHOICES: Mapping[PopupChoice, Text] = {
    PopupChoice.ON_RING: _("when it rings"),
    PopupChoice.ON_ANSWER: _("when the employee answers"),
    PopupChoice.OFF: _("off"),
}
OWNERS: Mapping[Owner, Text] = {
    Owner.LAST_TALKER: _("who talked last"),
    Owner.FIRST_TALKER: _("who talked first"),
    Owner.LONGEST_TALKER: _("who talked longest"),
}
MISSED_OWNERS: Mapping[MissedOwner, Text] = {
    MissedOwner.LAST_RUNG: _("whose phone rang last"),
    MissedOwner.RESPONSIBLE: _("the customer's manager in the CRM"),
    MissedOwner.NOBODY: _("no owner"),
}
RECORDING_KINDS: Mapping[RecordingKind, Text] = {
    RecordingKind.UIS: _("UIS link"),
    RecordingKind.OURS: _("our link, which can be revoked"),
}
STATUS_SYNCS: Mapping[StatusSync, Text] = {
    StatusSync.OFF: _("off"),
    StatusSync.CRM_TO_UIS: _("from the CRM to UIS"),
    StatusSync.BOTH: _("both ways"),
}
LABELS: tuple[Mapping[Any, Text], ...] = (
    *(SKIP_REASONS, FILTERS, POPUP_CHOICES, OWNERS, MISSED_OWNERS, RECORDING_KINDS, STATUS_SYNCS),
)

Choices = list[tuple[Any, Any]]


def _choices(labels: Mapping[Any, Text]) -> Choices:
    return [(code.value, label) for code, label in labels.items()]


# Fields take these functions as their choices: a reworded label makes no migration.
def skip_reasons() -> Choices:
    return _choices(SKIP_REASONS)


def filters() -> Choices:
    return _choices(FILTERS)


def popup_choices() -> Choices:
    return _choices(POPUP_CHOICES)


def owners() -> Choices:
    return _choices(OWNERS)


def missed_owners() -> Choices:
    return _choices(MISSED_OWNERS)


def recording_kinds() -> Choices:
    return _choices(RECORDING_KINDS)


def status_syncs() -> Choices:
    return _choices(STATUS_SYNCS)


def label(code: StrEnum) -> Text:
    """Return what a code means."""
    return next(labels[code] for labels in LABELS if type(code) is type(next(iter(labels))))
