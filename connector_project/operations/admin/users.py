"""Staff accounts and groups: nobody gives a right they lack, or changes an account that has more than they have."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model, update_session_auth_hash
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.admin.editing import EditAdmin
from connector_project.core.admin.password_forms import ChangePassword
from connector_project.operations.admin.staff_visibility import StaffVisibilityMixin
from connector_project.operations.sign_in import events
from tenants import audit, audit_forms, second_factor, staff_accounts
from tenants.models import AuditLogEntry, User

Action = AuditLogEntry.Action
# A change of one of these ends the sessions of the account.
RIGHTS = frozenset({"is_active", "is_staff", "is_superuser", "groups", "user_permissions"})
# What an editor may give of each kind of right.
GRANTABLE: Mapping[type[models.Model], Callable[[Any], QuerySet[Any]]] = {
    Group: staff_accounts.grantable_groups,
    Permission: staff_accounts.permissions_of,
}
CHANGE = "tenants.change_user"


class AccountAdmin(BaseAdmin, EditAdmin):
    """What accounts and groups have in common: audit log entries, and who may change and delete them."""

    def may_manage(self, request: HttpRequest, obj: Any) -> bool:
        """Return whether the user has every right of an account or a group."""
        raise NotImplementedError  # Abstract: admin classes have a metaclass of their own, so this is no ABC.

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or self.may_manage(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django asks for each row of a bulk deletion too."""
        return super().has_delete_permission(request, obj) and (obj is None or self.may_manage(request, obj))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer, and accept, only what the user may give."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if isinstance(field, ModelChoiceField) and field.queryset is not None:
            grantable = GRANTABLE.get(db_field.related_model)
            if grantable is not None:
                field.queryset = field.queryset.filter(pk__in=grantable(request.user).values("pk"))
        return field

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        now = timezone.now()
        if change:
            audit_forms.log_form(None, form, is_new=False, by=request.user, now=now)
        else:
            audit.log(None, Action.ADDED, now=now, by=request.user, target=form.instance)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.delete_queryset(request, type(obj)._default_manager.filter(pk=obj.pk))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            audit.log(None, Action.REMOVED, now=timezone.now(), by=request.user, target=row)
        super().delete_queryset(request, queryset)


@admin.register(get_user_model())
class StaffUserAdmin(StaffVisibilityMixin, AccountAdmin, UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    change_password_form = ChangePassword
    title_of_new = _("New account")
    change_form_template = "admin/tenants/user/change_form.html"
    list_display = (
        "username",
        "first_name",
        "last_name",
        "group_names",
        "is_active",
        "has_second_factor",
        "last_login",
    )
    list_filter = ("is_active", "is_superuser", "groups")
    readonly_fields = ("last_login", "date_joined")
    # One section for each subject: what an account may see belongs into one of its own.
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Personal info"), {"fields": ("first_name", "last_name", "email")}),
        (
            gettext_lazy("Permissions"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        (gettext_lazy("Important dates"), {"fields": ("last_login", "date_joined"), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        has_app = models.Exists(second_factor.confirmed_devices().filter(user=models.OuterRef("pk")))
        users: QuerySet[User] = super().get_queryset(request).prefetch_related("groups")
        return users.annotate(has_app=has_app)

    @admin.display(description=gettext_lazy("groups"))
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    @admin.display(description=_("second factor"), boolean=True)
    def has_second_factor(self, user: Any) -> bool:
        return bool(user.has_app)

    def title_of(self, obj: User) -> str:
        return obj.get_username()

    def may_manage(self, request: HttpRequest, obj: Any) -> bool:
        return staff_accounts.may_manage(request.user, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only a superuser makes superusers; a posted value of a read-only field is not read."""
        own = ("is_superuser",) if not request.user.is_superuser else ()
        return (*super().get_readonly_fields(request, obj), *own)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True  # Clients have no accounts.
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and RIGHTS.intersection(form.changed_data):
            staff_accounts.end_sessions(form.instance)
            _keep_own_session(request, form.instance)

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """Set a colleague's password; one's own needs the old one."""
        user = self.get_object(request, id)
        if user is not None and user.pk == request.user.pk:
            return redirect("admin:password_change")
        old = user.password if user else ""
        response = super().user_change_password(request, id, form_url)
        if user is not None and User.objects.values_list("password", flat=True).get(pk=user.pk) != old:
            events.record(Action.PASSWORD_CHANGED, request, user, by=request.user)
        return response

    @page("<int:pk>/reset-second-factor/", name="tenants_user_reset_second_factor", permission=CHANGE)
    def reset_second_factor(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Let a colleague who lost their phone set up another one. Never one's own: a stolen session could do that."""
        user = self._colleague(request, pk)
        if user.pk == request.user.pk:
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, user, _("Reset the second factor"))
        second_factor.reset(user)
        events.record(Action.SECOND_FACTOR_RESET, request, user, by=request.user)
        messages.success(request, gettext("The second factor is reset: it is set up anew at the next sign-in."))
        return redirect("admin:tenants_user_change", pk)

    @page("<int:pk>/sign-out/", name="tenants_user_sign_out", permission=CHANGE)
    def sign_out(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """End all sessions of a colleague."""
        user = self._colleague(request, pk)
        if request.method != "POST":
            return self._ask(request, user, _("Sign out everywhere"))
        staff_accounts.end_sessions(user)
        events.record(Action.SESSIONS_ENDED, request, user, by=request.user)
        messages.success(request, gettext("All sessions of this account have ended."))
        return redirect("admin:tenants_user_change", pk)

    def _colleague(self, request: HttpRequest, pk: int) -> User:
        user = get_object_or_404(User, pk=pk)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    def _ask(self, request: HttpRequest, user: User, title: Any) -> HttpResponse:
        return self.render_page(request, "admin/tenants/user/confirm.html", title=title, row=user)


admin.site.unregister(Group)


@admin.register(Group)
class StaffGroupAdmin(AccountAdmin, GroupAdmin):  # type: ignore[misc]  # the stubs name a parameter differently
    title_of_new = _("New group")

    def title_of(self, obj: Group) -> str:
        return obj.name

    def may_manage(self, request: HttpRequest, obj: Any) -> bool:
        return staff_accounts.may_manage_group(request.user, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            audit_forms.log_form(None, form, is_new=True, by=request.user, now=timezone.now())
        elif "permissions" in form.changed_data:
            _end_sessions_of_members(request, Group.objects.filter(pk=form.instance.pk))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        _end_sessions_of_members(request, queryset)
        super().delete_queryset(request, queryset)


def _end_sessions_of_members(request: HttpRequest, groups: QuerySet[Group]) -> None:
    members = staff_accounts.members(groups)
    staff_accounts.end_sessions(*members)
    for user in members:
        _keep_own_session(request, user)


def _keep_own_session(request: HttpRequest, user: Any) -> None:
    """Keep the session of the person who made the change, if it is their own account."""
    if user.pk == request.user.pk:
        update_session_auth_hash(request, user)
