"""The forms of a field map: one for each row, in order of precedence."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from tenants import field_map_labels as labels
from tenants.field_map.conditions import Subject
from tenants.field_map.facts import Fact, Price, price_of
from tenants.field_map.presets import MapPreset
from tenants.field_map.rows import MOST_ENTRIES, MOST_ROWS, FieldMap, FieldMapError, Row
from tenants.field_map.transformations import Kind

NOTHING = ("", "—")
ASSIGNS = "="  # between a value and what a dictionary makes of it
MOST_FACTS = 3
EMPTY_ROWS = 2
PRESETS: Mapping[MapPreset, Text] = {
    MapPreset.STANDARD: _("as always: numbers, store and recording"),
    MapPreset.ADVERTISING: _("advertising: source, campaign and visitor too"),
    MapPreset.MINIMAL: _("as little as possible: neither our number nor the recording"),
}


def _choices(codes: Mapping[Any, Text]) -> list[tuple[str, Any]]:
    return [(str(code), label) for code, label in codes.items()]


def _facts_by_price() -> list[Any]:
    grouped = [
        (str(labels.PRICES[price]), [(str(fact), labels.FACTS[fact]) for fact in Fact if price_of(fact) == price])
        for price in Price
    ]
    return [NOTHING, *grouped]


class RowForm(forms.Form):
    """One row; `fact_1` to `fact_3` are tried in this order."""

    target = forms.ChoiceField(label=_("field of the CRM"), choices=lambda: [NOTHING, *_choices(labels.FIELDS)])
    fact_1 = forms.ChoiceField(label=_("filled with"), choices=lazy(_facts_by_price, list), required=False)
    fact_2 = forms.ChoiceField(label=_("else with"), choices=lazy(_facts_by_price, list), required=False)
    fact_3 = forms.ChoiceField(label=_("else with"), choices=lazy(_facts_by_price, list), required=False)
    constant = forms.CharField(label=_("text of your own"), max_length=255, required=False)
    form = forms.ChoiceField(label=_("in which form"), choices=lambda: _choices(labels.FORMS), initial=Kind.PASS.value)
    entries = forms.CharField(
        label=_("dictionary"),
        required=False,
        widget=forms.Textarea({"rows": 2, "cols": 24}),
        help_text=_("One line for each value: value = what the CRM gets."),
    )
    subject = forms.ChoiceField(
        label=_("when"), choices=lambda: _choices(labels.SUBJECTS), initial=Subject.ALWAYS.value
    )
    values = forms.CharField(
        label=_("is one of"),
        required=False,
        max_length=1000,
        help_text=_("Separated by commas: in, out; answered, missed; known, new; numbers; sources."),
    )

    def clean_entries(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["entries"].splitlines() if line.strip()]
        pairs = [line.partition(ASSIGNS) for line in lines]
        wrong = next((line for line, (_key, sign, _value) in zip(lines, pairs, strict=True) if not sign), None)
        if wrong is not None or len(lines) > MOST_ENTRIES:
            raise forms.ValidationError(_("Each line must be like: value = what the CRM gets. At most 500 lines."))
        return {key.strip(): value.strip() for key, _sign, value in pairs}

    def clean_values(self) -> list[str]:
        parts = (part.strip().lstrip("+") for part in self.cleaned_data["values"].split(","))
        return [part for part in parts if part]

    def stored(self) -> dict[str, Any]:
        """Return the row as it is stored. Needs a valid form."""
        cleaned = self.cleaned_data
        facts = [cleaned[name] for name in _fact_names() if cleaned.get(name)]
        row: dict[str, Any] = {
            "target": cleaned["target"],
            "facts": list(dict.fromkeys(facts)),
            "form": cleaned["form"],
        }
        if cleaned["entries"]:
            row["entries"] = cleaned["entries"]
        if cleaned["constant"]:
            row["constant"] = cleaned["constant"]
        if cleaned["subject"] != Subject.ALWAYS or cleaned["values"]:
            row |= {"subject": cleaned["subject"], "values": cleaned["values"]}
        return row


class RowFormSet(forms.BaseFormSet[RowForm]):
    """The whole map: rows are checked together, and the refused one is named."""

    field_map: FieldMap = FieldMap()

    def clean(self) -> None:
        if any(self.errors) or self.non_form_errors():
            return
        try:
            self.field_map = FieldMap.parse([form.stored() for form in self._kept()])
        except FieldMapError as exc:
            kept = self._kept()
            if 0 < exc.row <= len(kept):
                kept[exc.row - 1].add_error(None, labels.refusal(exc))
            raise forms.ValidationError(labels.refusal(exc)) from exc

    def _kept(self) -> Sequence[RowForm]:
        """Return the rows in the order that the person gave them."""
        rows: Iterable[RowForm] = self.ordered_forms
        return [form for form in rows if form not in self.deleted_forms and form.cleaned_data.get("target")]


FieldMapFormSet = forms.formset_factory(
    RowForm,
    formset=RowFormSet,
    extra=EMPTY_ROWS,
    can_order=True,
    can_delete=True,
    max_num=MOST_ROWS,
    validate_max=True,
    absolute_max=MOST_ROWS + EMPTY_ROWS,
)


def initial(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return what the forms begin with."""
    return [_initial(row) for row in rows]


def _initial(row: Row) -> dict[str, Any]:
    facts = {name: fact.value for name, fact in zip(_fact_names(), row.facts, strict=False)}
    entries = "\n".join(f"{key} {ASSIGNS} {value}" for key, value in row.transformation.entries.items())
    return facts | {
        "target": row.target,
        "constant": row.constant,
        "form": row.transformation.kind.value,
        "entries": entries,
        "subject": row.condition.subject.value,
        "values": ", ".join(row.condition.values),
    }


def _fact_names() -> list[str]:
    return [f"fact_{number}" for number in range(1, MOST_FACTS + 1)]
