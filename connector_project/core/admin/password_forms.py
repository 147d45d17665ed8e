"""Django's password forms, which would write back every column of the user: also an account that was just disabled."""

from typing import Any

from django.contrib.admin.forms import AdminPasswordChangeForm as OwnPasswordForm
from django.contrib.auth.forms import AdminPasswordChangeForm as UserPasswordForm
from django.contrib.auth.forms import SetPasswordMixin


class _PasswordColumn(SetPasswordMixin):  # type: ignore[type-arg]  # generic in the stubs only
    def set_password_and_save(self, user: Any, *args: Any, commit: bool = True, **kwargs: Any) -> Any:
        super().set_password_and_save(user, *args, commit=False, **kwargs)  # type: ignore[misc]
        if commit:
            user.save(update_fields=["password"])
        return user


class ChangeOwnPassword(_PasswordColumn, OwnPasswordForm):
    """For the user who is signed in."""


class ChangePassword(_PasswordColumn, UserPasswordForm):  # type: ignore[type-arg]  # generic in the stubs only
    """For another user."""
