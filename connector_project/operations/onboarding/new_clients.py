"""Several new clients at once: each row of a list is checked alone, and created or refused alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import time_zones
from connector_project.operations.onboarding.forms import LONGEST_PAGE, account_of
from crm import checks
from tenants import audit, onboarding, rule_presets, visibility
from tenants.forms import refuse_used
from tenants.models import AuditLogEntry, CrmConnection, Tenant, UisConnection
from tenants.models.tenant import languages
from tenants.visibility import Reader

DEFAULTS = {"language": "ru", "time_zone": "Europe/Moscow", "brand": UisConnection.Brand.UIS}


class RowForm(forms.Form):
    """One row, by the names of its columns."""

    name = forms.CharField(label=_("name"), max_length=200)
    slug = forms.SlugField(label=_("short name"), max_length=80, required=False)
    language = forms.ChoiceField(label=_("language"), choices=languages)
    time_zone = forms.ChoiceField(
        label=_("time zone"), choices=lambda: [(name, name) for name in sorted(time_zones.known())]
    )
    brand = forms.ChoiceField(label=_("brand"), choices=UisConnection.Brand.choices)
    crm_address = forms.CharField(label=_("CRM address"), max_length=LONGEST_PAGE, required=False)
    rules = forms.ChoiceField(label=_("transfer rules"))

    def __init__(self, row: Mapping[str, str], *, reader: Reader, choices: Any, rules: str) -> None:
        filled = {name: row[name] or default for name, default in (DEFAULTS | {"rules": rules}).items()}
        lowered = {name: filled[name].lower() for name in ("language", "brand", "rules")}
        super().__init__({**row, **filled, **lowered})
        self.reader = reader
        self.fields["rules"].choices = choices  # type: ignore[attr-defined]

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug and Tenant.objects.filter(slug=slug).exists():
            raise ValidationError(gettext("A client with this short name exists already."))
        return slug

    def clean_crm_address(self) -> str:
        address = account_of(self.cleaned_data["crm_address"])
        if address and not (found := checks.is_account_address(address)).ok:
            raise ValidationError(found.message)
        refuse_used(CrmConnection(tenant=Tenant()), reader=self.reader, address=address)
        return address

    @property
    def problems(self) -> list[Any]:
        """What is wrong, each with the name of its column."""
        return [
            format_html("{}: {}", self.fields[name].label, text) if name in self.fields else text
            for name, texts in self.errors.items()
            for text in texts
        ]


@dataclass(kw_only=True)
class Line:
    """One row of a list: what will be created, or why it is refused; later, what was created."""

    number: int
    row: dict[str, str]
    rules: str = ""  # the label of the choice
    form: RowForm
    problems: list[Any] = field(default_factory=list)
    tenant: Tenant | None = None


def read(rows: Iterable[Mapping[str, str]], *, reader: Reader, rules: str) -> list[Line]:
    """Check each row; `rules` are those of rows that name none. A row without a short name gets a free one."""
    choices = rule_presets.choices(reader)
    seen: dict[str, set[str]] = {"slug": set(), "crm_address": set()}
    return [
        _line(number, RowForm(row, reader=reader, choices=choices, rules=rules), seen)
        for number, row in enumerate(rows, start=1)
    ]


def _line(number: int, form: RowForm, seen: dict[str, set[str]]) -> Line:
    if form.is_valid() and not form.cleaned_data["slug"]:
        form.cleaned_data["slug"] = onboarding.free_slug(form.cleaned_data["name"], reserved=seen["slug"])
    row = {name: str(form.cleaned_data.get(name, form.data.get(name, ""))) for name in form.fields}
    line = Line(number=number, row=row, form=form, problems=list(form.problems))
    line.rules = str(_flat(form).get(row["rules"], row["rules"]))
    for name, values in seen.items():
        if row[name] and row[name] in values:
            line.problems.append(gettext("Another row has the same %(field)s.") % {"field": form.fields[name].label})
        values.add(row[name])
    return line


def _flat(form: RowForm) -> dict[str, Any]:
    """Return the choices of rules without their groups."""
    found: dict[str, Any] = {}
    for value, label in form.fields["rules"].choices:  # type: ignore[attr-defined]
        found |= dict(label) if isinstance(label, list) else {value: label}
    return found


def create(lines: Iterable[Line], *, by: Any, now: datetime) -> None:
    """Create the clients of the lines without problems. One that cannot be created any more is refused alone."""
    for line in lines:
        if line.problems:
            continue
        try:
            line.tenant = _create(line, by=by, now=now)
        except ValidationError as exc:
            line.problems += exc.messages
        except IntegrityError:  # Somebody has just created it.
            line.problems.append(gettext("A client with this short name exists already."))


@transaction.atomic
def _create(line: Line, *, by: Any, now: datetime) -> Tenant:
    row = line.form.cleaned_data
    new = onboarding.NewTenant(
        **{name: row[name] for name in ("name", "slug", "language", "time_zone")},
        uis_brand=row["brand"],
        crm_url=row["crm_address"],
        begins_with=rule_presets.begin_with(row["rules"], by),
    )
    tenant = onboarding.create_tenant(new, by=by, now=now)
    visibility.add_tenant(by, tenant)
    for name in ("name", "slug", "language", "time_zone"):
        added = AuditLogEntry.Action.ADDED
        audit.log(tenant, added, by=by, now=now, target=tenant, field=name, new=getattr(tenant, name))
    if tenant.crm.address:
        audit.log(tenant, added, by=by, now=now, target=tenant.crm, field="address", new=tenant.crm.address)
    audit.log_beginning(tenant.current_version, by=by, now=now)
    return tenant
