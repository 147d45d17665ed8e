"""Endpoints for the CRM: click-to-call, statuses, module callbacks."""

import hmac

from django.http import Http404
from django.utils import timezone, translation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connector_project.core import logging
from connector_project.core.untrusted_input import request_params
from crm import callbacks, commands
from crm.models import Command
from tenants.models import Tenant

security = logging.logger("connector.security")


class _CrmView(APIView):
    """A request from the CRM; it is not signed, the clientId is its only authentication."""

    kind: Command.Kind

    def post(self, request: Request, hook: str) -> Response:
        tenant = Tenant.objects.by_crm_hook(hook).select_related("uis", "crm", "rule_version").first()
        if tenant is None:
            raise Http404
        params = request_params(request._request)
        if not hmac.compare_digest(params.get("clientId", "").encode(), tenant.crm.client_id.encode()):
            security.warning("request with an invalid clientId", tenant=tenant.slug, kind=self.kind)
            return Response({"success": False, "errorMsg": "Unknown clientId."}, status=403)
        return self.answer(tenant, params)

    def answer(self, tenant: Tenant, params: dict[str, str]) -> Response:
        command = commands.receive(tenant, self.kind, params, now=timezone.now())
        return _to_response(tenant, command)


class MakeCallView(_CrmView):
    kind = Command.Kind.MAKE_CALL
    get = _CrmView.post


class ChangeUserStatusView(_CrmView):
    kind = Command.Kind.SET_STATUS
    get = _CrmView.post


class ActivityView(_CrmView):
    """Our module was switched on or off, or the account was renamed."""

    kind = Command.Kind.ACTIVITY

    def answer(self, tenant: Tenant, params: dict[str, str]) -> Response:
        return _to_response(tenant, callbacks.activity(tenant, params, now=timezone.now()))


class SettingsView(_CrmView):
    """The account's settings changed; we use its time zone."""

    kind = Command.Kind.SETTINGS

    def answer(self, tenant: Tenant, params: dict[str, str]) -> Response:
        return _to_response(tenant, callbacks.settings_changed(tenant, params, now=timezone.now()))


def _to_response(tenant: Tenant, command: Command) -> Response:
    if command.state != Command.State.REFUSED or command.reason in commands.SILENT_REASONS:
        return Response({"success": True})
    with translation.override(tenant.language):
        return Response({"success": False, "errorMsg": str(command.get_reason_display())}, status=400)
