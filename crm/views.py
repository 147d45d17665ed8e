"""Where the CRM knocks: clicks, statuses, what it says of our module, and the marketplace's connection."""

import hmac
import logging
from typing import Any

from django.conf import settings
from django.http import Http404
from django.urls import reverse
from django.utils import timezone, translation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connector_project.http import is_too_large, parameters
from crm import callbacks, commands, marketplace, module, scopes
from crm.models import Command
from tenants.models import Tenant

security = logging.getLogger("connector.security")


class _CrmView(APIView):
    """A request of the CRM: there is no signature, the clientId is its only proof of origin."""

    kind: Command.Kind

    def post(self, request: Request, hook: str) -> Response:
        tenant = _tenant(hook)
        if is_too_large(request._request):
            return Response(status=413)
        asked = parameters(request._request)
        if not _is_known(tenant, asked.get("clientId", "")):
            security.warning("tenant=%s %s came with a wrong clientId", tenant.slug, self.kind)
            return Response({"success": False, "errorMsg": "Unknown clientId."}, status=403)
        return self.answer(tenant, asked)

    def answer(self, tenant: Tenant, asked: dict[str, str]) -> Response:
        command = commands.receive(tenant, self.kind, asked, now=timezone.now())
        return _said(tenant, command)


class MakeCallView(_CrmView):
    """A manager clicked a number."""

    kind = Command.Kind.MAKE_CALL
    get = _CrmView.post


class ChangeUserStatusView(_CrmView):
    """A manager changed his status."""

    kind = Command.Kind.SET_STATUS
    get = _CrmView.post


class ActivityView(_CrmView):
    """Somebody switched our module on or off, or the account was renamed."""

    kind = Command.Kind.ACTIVITY

    def answer(self, tenant: Tenant, asked: dict[str, str]) -> Response:
        return _said(tenant, callbacks.activity(tenant, asked, now=timezone.now()))


class SettingsView(_CrmView):
    """The account's settings changed; we read its time zone."""

    kind = Command.Kind.SETTINGS

    def answer(self, tenant: Tenant, asked: dict[str, str]) -> Response:
        return _said(tenant, callbacks.settings_changed(tenant, asked, now=timezone.now()))


class _MarketplaceView(APIView):
    """A request of the marketplace; without a module there, these addresses do not exist."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not settings.RETAILCRM_MODULE_SECRET:
            raise Http404
        super().initial(request, *args, **kwargs)


class ConfigurationView(_MarketplaceView):
    """Somebody opened our module in the marketplace."""

    def get(self, _request: Request) -> Response:
        register_url = settings.PUBLIC_URL + reverse("connect-register")
        return Response({"success": True, "scopes": list(scopes.SCOPES), "registerUrl": register_url})


class RegisterView(_MarketplaceView):
    """Somebody pressed "Connect": here is the key of his account."""

    def post(self, request: Request) -> Response:
        if is_too_large(request._request):
            return Response(status=413)
        # Out of the form only: what stands in an address is written into logs.
        offer = request._request.POST.get("register", "")
        try:
            tenant = marketplace.connect(offer, now=timezone.now())
        except marketplace.NotConnected as exc:
            return Response({"success": False, "errorMsg": str(exc)}, status=exc.status)
        return Response({"success": True, "accountUrl": module.page_url(tenant.entry_token or "")}, status=201)


def _said(tenant: Tenant, command: Command) -> Response:
    if command.state != Command.State.REFUSED or command.reason in commands.HARMLESS:
        return Response({"success": True})
    with translation.override(tenant.language):
        return Response({"success": False, "errorMsg": str(command.get_reason_display())}, status=400)


def _tenant(hook: str) -> Tenant:
    tenant = Tenant.objects.of_hook(hook, now=timezone.now()).select_related("uis", "crm", "rules").first()
    if tenant is None:
        raise Http404
    return tenant


def _is_known(tenant: Tenant, client_id: str) -> bool:
    return hmac.compare_digest(client_id.encode(), tenant.crm.client_id.encode())
