"""The admin site of the product."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.admin.editing import EditAdmin
from connector_project.operations.admin_visibility import VisibleAdmin


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
        """Make pages of Django and of libraries safe for several people; every page shows visible rows only.

        The queue's own tables get no page.
        """
        if _is_of_the_queue(model_or_iterable):
            return
        if admin_class is not None and not issubclass(admin_class, ReadOnlyAdmin | EditAdmin):
            admin_class = type(admin_class.__name__, (EditAdmin, admin_class), {"__module__": admin_class.__module__})
        if admin_class is not None:
            bases, names = (VisibleAdmin, admin_class), {"__module__": admin_class.__module__}
            admin_class = type(admin_class.__name__, bases, names)
        super().register(model_or_iterable, admin_class, **options)

    @staticmethod
    def author_of(form: Any, name: str) -> str:
        """A method of edit forms: return who gave a field its present value, and when, by the audit log."""
        from connector_project.operations.admin.audit_log import actor  # noqa: PLC0415 -- needs loaded apps
        from tenants import audit_forms, datetime_display  # noqa: PLC0415 -- needs loaded apps

        entry = audit_forms.last_change(form, name)
        if entry is None:
            return ""
        return f"{actor(entry)}, {datetime_display.format_short(entry.tenant, entry.at, now=timezone.now())}"

    def get_urls(self) -> list[Any]:
        """Add the pages of signing in. Those without `admin_view` check by themselves who opens them."""
        from connector_project.operations.sign_in import pages  # noqa: PLC0415 -- needs loaded apps

        return [*pages.urls(self), *super().get_urls()]

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:  # type: ignore[override]
        """Show Django's page with our form."""
        from connector_project.operations.sign_in.views import OwnPassword  # noqa: PLC0415 -- needs loaded apps

        request.current_app = self.name
        return OwnPassword.as_view(
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context=self.each_context(request) | (extra_context or {}),
        )(request)
