"""The webhook endpoint: a plain view that only stores (docs/adr)."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from connector_project.core.http_server import read_body
from telephony.webhooks import receive


@csrf_exempt
@require_http_methods(["GET", "POST"])
def notification(request: HttpRequest, hook: str, event: str = "") -> HttpResponse:
    """Store any notification as it is. A body that cannot be read is stored, too: nobody promises to send it again."""
    now = timezone.now()
    body = read_body(request)
    if body is None:
        status = receive.count_oversized(hook, now=now)
    else:
        query = request.META.get("QUERY_STRING", "")
        status = receive.store(hook, event=event, query=query, body=body.decode(errors="replace"), now=now)
    if status == receive.UNKNOWN:
        raise Http404  # Like any other unknown URL.
    return HttpResponse(status=status)
