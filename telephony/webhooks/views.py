"""The webhook endpoint."""

from django.db.models import F
from django.http import Http404
from django.utils import timezone
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connector_project.core.http_server import LARGEST_BODY, is_too_large
from telephony.webhooks import receive
from tenants.models import Tenant, UisConnection


class NotificationView(APIView):
    """Stores any notification as it is."""

    # The raw body is stored: parsing by DRF would halve the speed and reject broken templates.
    parser_classes: list[type[BaseParser]] = []

    def post(self, request: Request, hook: str, event: str = "") -> Response:
        tenant = _tenant(hook)
        if is_too_large(request):
            return _too_large(tenant)
        body = request._request.body
        if len(body) > LARGEST_BODY:
            return _too_large(tenant)
        query = request._request.META.get("QUERY_STRING", "")
        receive.receive(
            tenant,
            event=event,
            query=query,
            body=body.decode(errors="replace"),
            now=timezone.now(),
            via_old_hook=tenant.uis.hook != hook,
        )
        return Response()

    get = post


def _too_large(tenant: Tenant) -> Response:
    """Reject a body and count it: nothing else would show that it arrived."""
    UisConnection.objects.filter(tenant=tenant).update(oversized_webhooks=F("oversized_webhooks") + 1)
    return Response(status=413)


def _tenant(hook: str) -> Tenant:
    tenant = Tenant.objects.by_hook(hook, now=timezone.now()).select_related("uis", "rules").first()
    if tenant is None:
        raise Http404
    return tenant
