"""Believes X-Forwarded-For and X-Forwarded-Proto of trusted networks only."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class TrustedProxies:
    """Sets the real sender's address, or takes the headers away where a stranger sent them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.networks = [ipaddress.ip_network(word) for word in settings.TRUSTED_PROXIES]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self._is_trusted(request.META.get("REMOTE_ADDR", "")):
            request.META["REMOTE_ADDR"] = (
                self._sender(request.META.get("HTTP_X_FORWARDED_FOR", "")) or request.META["REMOTE_ADDR"]
            )
        else:
            request.META.pop("HTTP_X_FORWARDED_FOR", None)
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self.get_response(request)

    def _sender(self, forwarded: str) -> str:
        """Return the last address that is no proxy of ours: what stands before it anybody can have written."""
        for word in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not self._is_trusted(word):
                return word
        return ""

    def _is_trusted(self, word: str) -> bool:
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            return False
        return any(address in network for network in self.networks)
