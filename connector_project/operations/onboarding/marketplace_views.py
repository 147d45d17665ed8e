"""Endpoints of the marketplace's simple connection."""

from typing import Any

from django.conf import settings
from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connector_project.operations.onboarding import marketplace
from connector_project.operations.onboarding.registrations import NotConnected
from crm import api_scopes, integration_module


class _MarketplaceView(APIView):
    """A request from the marketplace; 404 unless we have a module there."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not settings.RETAILCRM_MODULE_SECRET:
            raise Http404
        super().initial(request, *args, **kwargs)


class ConfigurationView(_MarketplaceView):
    def get(self, _request: Request) -> Response:
        register_url = settings.PUBLIC_URL + reverse("connect-register")
        return Response({"success": True, "scopes": list(api_scopes.SCOPES), "registerUrl": register_url})


class RegisterView(_MarketplaceView):
    """A user pressed "Connect" in the marketplace; the request has the key of their account."""

    def post(self, request: Request) -> Response:
        # Only from the form: query strings are logged.
        offer = request._request.POST.get("register", "")
        try:
            token = marketplace.connect(offer, now=timezone.now())
        except NotConnected as exc:
            return Response({"success": False, "errorMsg": str(exc)}, status=exc.status)
        return Response({"success": True, "accountUrl": integration_module.page_url(token)}, status=201)
