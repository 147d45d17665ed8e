"""The base of pages that a secret link opens without an account."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt


@method_decorator([never_cache, csrf_exempt], name="dispatch")
class SecretLinkView(View):
    """The link authenticates: there is no session that another site could abuse, so no CSRF token is required."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().dispatch(request, *args, **kwargs)
        answer["Referrer-Policy"] = "same-origin"  # our forms check it; other sites do not get it
        answer["X-Robots-Tag"] = "noindex"
        return answer
