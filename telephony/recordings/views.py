"""Public recording links."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views import View

from telephony.recordings import http, links
from telephony.recordings.unavailable import RecordingUnavailable


class RecordView(View):
    """Plays the recording of one of our links; the link is the only authorisation."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, token: str) -> HttpResponseBase:
        now, link = timezone.now(), links.find(token)
        if link is None:
            raise Http404
        try:
            links.check(link, now=now)
            answer = http.play(request, link.call, by=None, now=now)
        except RecordingUnavailable as exc:
            answer = _unavailable(request, exc)
        for name, value in http.ANY_PAGE.items():
            answer[name] = value
        return answer


def _unavailable(request: HttpRequest, exc: RecordingUnavailable) -> HttpResponseBase:
    status = http.status(exc.reason)
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        answer: HttpResponse = JsonResponse({"reason": exc.reason, "message": exc.reason.label}, status=status)
    else:
        answer = render(request, "recordings/unavailable.html", {"message": exc.reason.label}, status=status)
    answer["Cache-Control"], answer["X-Robots-Tag"] = "no-store", "noindex"
    if seconds := http.retry_after(exc.reason):
        answer["Retry-After"] = str(seconds)
    return answer
