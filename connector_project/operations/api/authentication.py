"""Authentication and throttling: an API key in `Authorization: Bearer …`, never a session cookie."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from tenants import api_keys
from tenants.models import ApiKey

SCHEME = "Bearer"


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        """Return the key as `request.auth`, without a user. A request without a key is rejected."""
        scheme, _space, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            raise NotAuthenticated
        now = timezone.now()
        token = api_keys.find(key.strip(), now=now)
        if token is None:
            raise AuthenticationFailed(_("This key is unknown, revoked or expired."))
        api_keys.touch(token, now=now)
        return None, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class KeyThrottle(SimpleRateThrottle):
    """Limits the requests per key; each web process counts separately."""

    rate = "600/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"api-key-{request.auth.pk}"


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the authentication in the schema."""

    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": SCHEME.lower(),
            "description": str(_("An API key, created in the admin under API keys.")),
        }
