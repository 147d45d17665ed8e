"""The admin site of the product."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.admin.editing import EditAdmin


def _is_of_the_queue(model_or_iterable: Any) -> bool:
    """Return whether these are tables of django-q2: functions to call by name, and pickles that its pages load."""
    models: Iterable[Any] = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
    return any(model._meta.app_label == "django_q" for model in models)


class ConnectorAdminSite(AdminSite):
    site_header = site_title = "UIS ⇄ retailCRM"
    index_title = _("Overview")
    # Breadcrumbs are enough for navigation, and the list of clients needs the width.
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Make pages of Django and of libraries safe for several people too; the queue's own tables get no page."""
        if _is_of_the_queue(model_or_iterable):
            return
        if admin_class is not None and not issubclass(admin_class, ReadOnlyAdmin | EditAdmin):
            admin_class = type(admin_class.__name__, (EditAdmin, admin_class), {"__module__": admin_class.__module__})
        super().register(model_or_iterable, admin_class, **options)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:  # type: ignore[override]
        """Show Django's page with our form."""
        from django.contrib.auth.views import PasswordChangeView  # noqa: PLC0415 -- needs loaded apps

        from connector_project.core.admin.password_forms import ChangeOwnPassword  # noqa: PLC0415 -- needs loaded apps

        request.current_app = self.name
        return PasswordChangeView.as_view(
            form_class=ChangeOwnPassword,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context=self.each_context(request) | (extra_context or {}),
            template_name="registration/password_change_form.html",
        )(request)
