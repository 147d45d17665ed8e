"""Accounts of staff: who may manage whom, what they may give, and the end of sessions."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import F, Q, QuerySet

from tenants.models import User


def end_sessions(*users: Any) -> None:
    """End all sessions of these people, on every device."""
    User.objects.filter(pk__in=[user.pk for user in users]).update(session_epoch=F("session_epoch") + 1)
    for user in users:
        user.refresh_from_db(fields=["session_epoch"])


def permissions_of(user: Any) -> QuerySet[Permission]:
    """Return the permissions that an account has, or would have again once it is active."""
    if user.is_superuser:
        return Permission.objects.all()
    own = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return Permission.objects.filter(pk__in=own.values("pk"))


def may_manage(editor: Any, user: Any) -> bool:
    """Return whether an editor may change, deactivate or reset an account: it has no right that they lack."""
    if editor.is_superuser:
        return True
    return not user.is_superuser and _holds(editor, permissions_of(user))


def may_manage_group(editor: Any, group: Group) -> bool:
    """Return whether an editor may change a group: it has no permission that they lack."""
    return editor.is_superuser or _holds(editor, group.permissions.all())


def grantable_groups(editor: Any) -> QuerySet[Group]:
    """Return the groups that an editor may give: those without a permission that they lack."""
    if editor.is_superuser:
        return Group.objects.all()
    lacking = Permission.objects.exclude(pk__in=permissions_of(editor).values("pk"))
    return Group.objects.exclude(pk__in=Group.objects.filter(permissions__in=lacking).values("pk"))


def members(groups: Iterable[Group]) -> list[User]:
    return list(User.objects.filter(groups__in=groups).distinct())


def _holds(editor: Any, permissions: QuerySet[Permission]) -> bool:
    return not permissions.exclude(pk__in=permissions_of(editor).values("pk")).exists()
