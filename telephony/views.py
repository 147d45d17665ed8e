"""The webhook endpoint and the public recording links."""

from django.db.models import F
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views import View
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connector_project.http import LARGEST_BODY, is_too_large
from telephony import inbox, links, listening, playback
from telephony.silence import Unheard
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
        inbox.receive(
            tenant,
            event=event,
            query=query,
            body=body.decode(errors="replace"),
            now=timezone.now(),
            is_old_address=tenant.uis.hook != hook,
        )
        return Response()

    get = post


class RecordView(View):
    """Plays the recording of one of our links; the link is the only authorisation."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, token: str) -> HttpResponseBase:
        now, link = timezone.now(), links.find(token)
        if link is None:
            raise Http404
        try:
            links.check(link, now=now)
            answer = playback.play(request, link.call, listening.best, by=None, now=now)
        except Unheard as exc:
            answer = _unavailable(request, exc)
        for name, value in playback.ANY_PAGE.items():
            answer[name] = value
        return answer


def _unavailable(request: HttpRequest, exc: Unheard) -> HttpResponseBase:
    answer = render(request, "recording/silent.html", {"says": exc.reason.label}, status=playback.status(exc.reason))
    answer["Cache-Control"], answer["X-Robots-Tag"] = "no-store", "noindex"
    if seconds := playback.retry_after(exc.reason):
        answer["Retry-After"] = str(seconds)
    return answer


def _too_large(tenant: Tenant) -> Response:
    """Reject a body and count it: nothing else would show that it arrived."""
    UisConnection.objects.filter(tenant=tenant).update(oversized=F("oversized") + 1)
    return Response(status=413)


def _tenant(hook: str) -> Tenant:
    tenant = Tenant.objects.of_hook(hook, now=timezone.now()).select_related("uis", "rules").first()
    if tenant is None:
        raise Http404
    return tenant
