"""Forms of the tenant page: keys are write-only, and a changed connection is tried again."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import time_zones
from connector_project.core.admin.edit_forms import EditForm, SecretField
from connector_project.core.networks import normalise_network
from tenants import account_claims, retention, status_labels
from tenants.models import Connection, CrmConnection, Tenant, UisConnection, UisStatus
from tenants.models.connections import normalise_address
from tenants.visibility import Reader, visible_to

# Four characters of a shorter key would reveal too much.
MIN_HINTED_LENGTH = 12


class TenantForm(EditForm):
    guarded = ("offboarded_at",)
    guard_message = _(
        "The client was disconnected or has returned since you opened this page. Nothing is saved. Reload the page."
    )
    time_zone = forms.ChoiceField(
        label=capfirst(_("time zone")),
        choices=lambda: [(name, name) for name in sorted(time_zones.known())],
        initial="Europe/Moscow",
    )

    class Meta:
        model = Tenant
        fields = (
            "name",
            "slug",
            "language",
            "time_zone",
            "home_country",
            "opens_at",
            "closes_at",
            "works_weekends",
            "upload_window_days",
            *retention.FIELDS,
        )
        # The admin's own time widget would offer the server's time.
        widgets = dict.fromkeys(("opens_at", "closes_at"), forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
        help_texts = dict.fromkeys(("opens_at", "closes_at"), _("In the client's time zone."))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for term, name in zip(retention.Term, retention.FIELDS, strict=True):
            limit = retention.installation_days(term)
            if (cleaned.get(name) or 0) > limit:
                message = _("This installation keeps them for %(days)d days. Enter fewer, or leave the field empty.")
                self.add_error(name, message % {"days": limit})
        return cleaned


class AlwaysSavedForm(EditForm):
    """A form whose row is created with the tenant even if no field was filled in."""

    def has_changed(self) -> bool:
        return self.instance.pk is None or super().has_changed()


class ConnectionForm(AlwaysSavedForm):
    """Keeps the stored key if no new one is entered; any change lifts a suspension, so that access is tried again."""

    key_name = ""
    reader: Reader = None  # who fills in the form; set by the admin

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_key = getattr(self.instance, self.key_name)
        self.initial[self.key_name] = ""  # an empty field means no change
        if field := self.fields.get(self.key_name):  # Read-only pages have no such field.
            more = gettext("type a new one to replace it") if self.stored_key else ""
            field.help_text = "; ".join(filter(None, [key_hint(self.stored_key), more]))

    def stored_value(self, name: str) -> Any:
        return self.stored_key if name == self.key_name else super().stored_value(name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned[self.key_name] = cleaned.get(self.key_name) or self.kept_key(cleaned)
        return cleaned

    def kept_key(self, _cleaned: Mapping[str, Any]) -> Any:
        """Return the key to store if none was entered."""
        return self.stored_key

    def save(self, commit: bool = True) -> Any:
        saved = super().save(commit)
        if commit and self.changed_data:
            saved.try_anew({name: self.initial.get(name) for name in self.changed_data})
        return saved


class NetworksField(forms.CharField):
    """Addresses and networks, one in a line; the value is their list."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 50})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        found = []
        for text in (super().to_python(value) or "").replace(",", " ").split():
            try:
                found.append(normalise_network(text))
            except ValueError as exc:
                message = gettext("“%(text)s” is no address or network. Write it like 192.0.2.10 or 192.0.2.0/24.")
                raise forms.ValidationError(message % {"text": text}) from exc
        return list(dict.fromkeys(found))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(list(initial or []) != self.to_python(data))
        except forms.ValidationError:
            return True


class UisForm(ConnectionForm):
    key_name = "access_token"
    expected_sources = NetworksField(
        label=UisConnection._meta.get_field("expected_sources").verbose_name,
        required=False,
        max_length=4000,
        help_text=_(
            "Addresses or networks that UIS sends notifications from, one in a line. Notifications from elsewhere open "
            "no pop-up. If empty, they are taken from anywhere."
        ),
    )

    def clean_access_token(self) -> Any:
        key = self.cleaned_data["access_token"]
        if key != self.stored_key:
            refuse_used(self.instance, reader=self.reader, key=key)
        return key

    class Meta:
        model = UisConnection
        fields = ("brand", "access_token", "agent_user_id", "time_zone", "media_host", "expected_sources")
        field_classes = {"access_token": SecretField}


class CrmForm(ConnectionForm):
    key_name = "key"
    key_for = {"address": "key"}

    class Meta:
        model = CrmConnection
        fields = ("address", "key", "version", "site", "time_zone")
        field_classes = {"address": partial(forms.URLField, assume_scheme="https"), "key": SecretField}
        widgets = {"address": forms.URLInput()}

    @property
    def is_key_dropped(self) -> bool:
        """Whether the stored key is deleted, because the address names another host and no key was entered."""
        return bool(self.stored_key) and not self.instance.key

    @property
    def is_other_account(self) -> bool:
        """Whether the saved address is that of another account than before."""
        return "address" in self.changed_data and self.instance.is_other_account(self.initial.get("address"))

    def clean_address(self) -> Any:
        """Return the address as it is compared: two spellings of one account must not look like two."""
        address = normalise_address(self.cleaned_data["address"])
        if address != self.instance.account:
            refuse_used(self.instance, reader=self.reader, address=address)
        return address

    def kept_key(self, cleaned: Mapping[str, Any]) -> Any:
        is_kept = "address" not in cleaned or self.instance.keeps_key(cleaned["address"])
        return super().kept_key(cleaned) if is_kept else ""

    def set_dependent(self) -> Sequence[str]:
        return ("key",) if self.is_key_dropped else ()


def refuse_used(connection: Connection, *, reader: Reader, **entered: str) -> None:
    """Raise ValidationError, with a link to the other client that has this account if the reader may see them."""
    try:
        account_claims.refuse_used(connection, **entered)
    except ValidationError as exc:
        other = (exc.params or {})["other"]
        if not visible_to(Tenant.objects.filter(pk=other.pk), reader).exists():
            raise ValidationError(exc.message, code=exc.code) from exc
        page = reverse("admin:tenants_tenant_change", args=[other.pk])
        raise ValidationError(format_html('{} <a href="{}">{}</a>', exc.message, page, other), code=exc.code) from exc


def key_hint(key: str) -> str:
    """Return the part of a key that may be shown."""
    if len(key) >= MIN_HINTED_LENGTH:
        return gettext("set, ends in …%(end)s") % {"end": key[-4:]}
    return gettext("set") if key else gettext("not set")


def status_choices(tenant: Tenant | None) -> list[tuple[str, str]]:
    """Return the statuses of the UIS account; before the first sync the standard ones."""
    own = UisStatus.objects.filter(tenant=tenant)
    return [
        (status.code, status.name or status_labels.uis_status(status.code)) for status in own
    ] or standard_statuses()


def standard_statuses() -> list[tuple[str, str]]:
    """Return the statuses that every UIS account has."""
    return [(code, str(label)) for code, label in status_labels.UIS_STATUSES.items()]
