"""The forms of signing in."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from connector_project.operations.sign_in import limits

LONGEST_CODE = 40


class SignInForm(AdminAuthenticationForm):
    def confirm_login_allowed(self, user: Any) -> None:
        """Count the right password of an account without access as a failure: the answer is the same."""
        try:
            super().confirm_login_allowed(user)
        except ValidationError:
            limits.count_failure(self.request, user.get_username())  # type: ignore[arg-type]
            raise


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=LONGEST_CODE,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )
