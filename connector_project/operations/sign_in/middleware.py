"""Ends old and idle sessions, and treats a session without its second factor as nobody's."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.sign_in import events, sessions

# What a session without its second factor may open of the admin.
OPEN = frozenset({"login", "logout", "second_factor", "second_factor_setup"})


class StaffSessions:
    """Behind this, `request.user` is a person only if everything that signing in asks for was given.

    Otherwise `request.user` is anonymous, for every page, and `request.unverified_user` is who gave the password.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.unverified_user = None  # type: ignore[attr-defined]
        # Machines send no cookie, and their answers must not vary by one.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            self._check(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        """Lead a person who has not given the second factor from any page of the admin to it."""
        match = request.resolver_match
        if unverified_user(request) is None or match is None or "admin" not in match.app_names:
            return None
        if match.url_name in OPEN:
            return None
        where = request.get_full_path() if request.method == "GET" else reverse("admin:index")
        return redirect(reverse("admin:second_factor", query={"next": where}))

    def _check(self, request: HttpRequest) -> None:
        now = timezone.now()
        if sessions.is_over(request, now=now):
            events.record(events.Action.SIGNED_OUT, request, request.user, now=now)
            return logout(request)
        sessions.touch(request, now=now)
        if not sessions.is_complete(request, request.user):
            request.unverified_user, request.user = request.user, AnonymousUser()  # type: ignore[attr-defined]


def unverified_user(request: HttpRequest) -> Any:
    """Return who has given the password but not the second factor; None if nobody has."""
    return getattr(request, "unverified_user", None)
