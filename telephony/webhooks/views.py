"""The webhook endpoint: a plain view that only stores (docs/adr)."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from connector_project.core.request_checks import body_refusal, charset_of
from telephony.webhooks import receive, refusals


@csrf_exempt
@require_http_methods(["GET", "POST"])
def notification(request: HttpRequest, hook: str, event: str = "") -> HttpResponse:
    """Store any notification as it is. A body that cannot be read is stored, too: nobody promises to send it again."""
    now = timezone.now()
    if refusal := body_refusal(request):
        status = receive.count_refused(hook, refusal, now=now)
    else:
        body, reason = _decode(request)
        query = request.META.get("QUERY_STRING", "")
        source = request.META.get("REMOTE_ADDR", "")
        status = receive.store(hook, event=event, query=query, body=body, reason=reason, source=source, now=now)
    if status == receive.UNKNOWN:
        raise Http404  # Like any other unknown URL.
    headers = {"Retry-After": str(receive.RETRY_AFTER_SECONDS)} if status == refusals.TOO_MANY else None
    return HttpResponse(status=status, headers=headers)


notification.takes_any_text = True  # type: ignore[attr-defined]  # read by core.request_checks


def _decode(request: HttpRequest) -> tuple[str, str]:
    """Return the body as text, and why it cannot be read. UTF-8 comes first: what is valid in it is nothing else."""
    try:
        return request.body.decode(), ""
    except UnicodeDecodeError:
        charset = charset_of(request)
        return request.body.decode(charset or "utf-8", errors="replace"), "" if charset else receive.BAD_CHARSET
