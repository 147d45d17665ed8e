"""Forms of a client's virtual numbers."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.admin.edit_formsets import EditFormSet
from tenants.models import RuleDraft
from tenants.transfer_rules import Filter


class NumberForm(EditForm):
    """A virtual number as typed is stored as UIS writes it; one that came from UIS stays as it is."""

    def clean_number(self) -> str:
        text: str = self.cleaned_data["number"]
        if text == self.instance.number:
            return text
        typed = phone_numbers.from_person(text, region=self.instance.tenant.uis.region)
        if typed is None:
            raise ValidationError(
                gettext("This is not a phone number. Enter it with its country code, such as +79990000001.")
            )
        return typed.digits


class NumberFormSet(EditFormSet):
    unique = {"number": _("Another row has this number."), "is_default": _("Only one number can be the default.")}

    rules_form: EditForm | None = None  # of the same page: what it changes is saved before the numbers

    def clean(self) -> None:
        super().clean()
        deleted = {form.instance.pk for form in self.deleted_forms} - {None}
        if deleted and self._passing_alone() <= deleted:
            raise ValidationError(gettext("The rules let only these numbers pass. Change the rules first, and save."))

    def _passing_alone(self) -> set[int | None]:
        """Return the numbers that alone pass by the draft after saving; {None} if it is no list of them."""
        form = self.rules_form
        if form is not None and form.is_valid():
            mode, numbers = form.cleaned_data.get("number_filter"), form.cleaned_data.get("numbers") or ()
        elif rules := RuleDraft.objects.filter(tenant=self.instance).first():
            mode, numbers = rules.number_filter, rules.numbers.all()
        else:
            return {None}
        return {one.pk for one in numbers} if mode == Filter.ONLY else {None}
