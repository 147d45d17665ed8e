"""What a new client begins with: a named set of transfer rules, or the rules and settings of another client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from tenants import retention, status_labels
from tenants.models import RuleDraft, Tenant
from tenants.rules import PopupChoice
from tenants.visibility import Reader, visible_to

# Rules that name a client's own numbers, employees, contacts, stores and campaigns.
OF_OWN_LISTS = {"number_filter", "employee_filter", "contact_filter", "contacts", "field_map"}
# The rules that any client may have as they are.
SHARED_RULES: dict[str, Any] = {
    rule.name: rule
    for rule in RuleDraft._meta.concrete_fields
    if rule.editable and not rule.auto_created and not rule.is_relation and rule.name not in OF_OWN_LISTS
}
SHARED_SETTINGS = ("opens_at", "closes_at", "works_weekends", "upload_window_days", *retention.FIELDS)
CLIENT = "client-"  # the choice of a client, before its primary key
_OFF = PopupChoice.OFF


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named set of rules; a rule that it does not name has its default."""

    label: Text
    rules: Mapping[str, object] = field(default_factory=dict)


DEFAULT = "standard"
PRESETS: Mapping[str, Preset] = {
    DEFAULT: Preset(label=_("Calls with customers: pop-ups, history, recordings")),
    "everything": Preset(label=_("Everything, internal calls too"), rules={"upload_internal": True}),
    "no-recordings": Preset(label=_("Calls with customers, without recordings"), rules={"send_recording": False}),
    "no-popups": Preset(
        label=_("History and recordings, without pop-ups"), rules={"popup_incoming": _OFF, "popup_outgoing": _OFF}
    ),
    "missed": Preset(
        label=_("Missed calls only"),
        rules={
            "popup_incoming": _OFF,
            "popup_outgoing": _OFF,
            "upload_answered": False,
            "upload_outgoing": False,
            "send_recording": False,
        },
    ),
}


@dataclass(frozen=True)
class Beginning:
    """The rules of a new client, and settings of the client itself, where they are not the defaults."""

    rules: Mapping[str, object]
    settings: Mapping[str, object] = field(default_factory=dict)


def choices(reader: Reader) -> list[tuple[str, Any]]:
    """Return the choices of a form: the sets of rules, and the clients that the reader may see."""
    rows = visible_to(Tenant.objects.filter(offboarded_at=None), reader).order_by("name", "pk")
    clients = [(f"{CLIENT}{pk}", name) for pk, name in rows.values_list("pk", "name")]
    own: list[tuple[str, Any]] = [(code, preset.label) for code, preset in PRESETS.items()]
    return [*own, (gettext("The rules of another client"), clients)] if clients else own


def begin_with(choice: str, reader: Reader) -> Beginning:
    """Return what a choice stands for. A client who is gone, or not visible to the reader, counts as the default."""
    if preset := PRESETS.get(choice):
        return Beginning(preset.rules)
    number = choice.removeprefix(CLIENT)
    known = visible_to(Tenant.objects.select_related("rule_version"), reader)
    source = known.filter(pk=int(number), offboarded_at=None).first() if number.isdecimal() else None
    return copy_of(source) if source else Beginning(PRESETS[DEFAULT].rules)


def copy_of(source: Tenant) -> Beginning:
    """Return what a new client takes over: no keys, numbers, employees and contacts, nor filters by them."""
    values = {name: getattr(source.rules, name) for name in SHARED_RULES}
    return Beginning(
        rules={name: value for name, value in values.items() if not _is_own_status(name, value)},
        settings={name: getattr(source, name) for name in SHARED_SETTINGS},
    )


def _is_own_status(name: str, value: object) -> bool:
    """Return whether a rule names a status that only the client's own UIS account has."""
    return name in status_labels.STATUS_FIELDS and value not in status_labels.UIS_STATUSES
