"""Who may read, and how often: a key of ours in the header `Authorization: Bearer …`; no cookie opens anything here."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from tenants import tokens
from tenants.models import ApiToken

SCHEME = "Bearer"


class KeyAuthentication(BaseAuthentication):
    """Finds whose key it is."""

    def authenticate(self, request: Request) -> tuple[None, ApiToken] | None:
        """Return the key as `request.auth`; there is no user behind it."""
        scheme, _space, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        token = tokens.find(key.strip())
        if token is None:
            raise AuthenticationFailed(_("This key is unknown or revoked."))
        tokens.note_use(token, now=timezone.now())
        return None, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class HasKey(BasePermission):
    """Nobody reads without a key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApiToken)


class KeyThrottle(SimpleRateThrottle):
    """So many requests a minute with one key; each web process counts for itself."""

    rate = "600/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"api-key-{request.auth.pk}"


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the key in the schema."""

    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": SCHEME.lower(), "description": str(_("A key made in the admin: API keys."))}
