"""The API's schema and its page, for who has an API key and for staff."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.urls import reverse
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from connector_project.operations.api.authentication import KeyAuthentication


class KeyOrStaff(KeyAuthentication):
    """An API key, or the session of somebody who may use the admin."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        if "Authorization" not in request.headers and admin.site.has_permission(request._request):
            return request._request.user, None
        return super().authenticate(request)


class SchemaView(SpectacularJSONAPIView):
    authentication_classes = [KeyOrStaff]


class DocumentationView(SpectacularSwaggerSplitView):
    """The page for people: who is not signed in is asked to."""

    authentication_classes = [KeyOrStaff]

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, NotAuthenticated):
            return redirect_to_login(self.request.get_full_path(), reverse("admin:login"))
        return super().handle_exception(exc)
