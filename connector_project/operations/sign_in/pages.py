"""The addresses of signing in, under the admin's."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from connector_project.core import password_hashing
from connector_project.operations.sign_in import events, limits, views
from connector_project.operations.sign_in.middleware import unverified_user
from tenants import second_factor, staff_accounts
from tenants.models import RecoveryCode

Page = Callable[[HttpRequest, dict[str, Any]], HttpResponseBase]
Refusal = Callable[[HttpRequest], HttpResponseBase | None]


def urls(site: AdminSite) -> list[URLPattern]:
    """Return the pages: of anybody, then those of people who are signed in."""

    def for_all(page: Page, refuse: Refusal = lambda _request: None) -> Callable[..., HttpResponseBase]:
        @never_cache
        @sensitive_post_parameters()
        @csrf_protect
        @require_http_methods(["GET", "HEAD", "POST"])
        def view(request: HttpRequest) -> HttpResponseBase:
            request.current_app = site.name
            return refuse(request) or page(request, site.each_context(request))

        return view

    def for_staff(page: Page) -> Callable[..., HttpResponseBase]:
        return site.admin_view(for_all(page))

    return [
        path("login/", for_all(_sign_in, _refuse_sign_in), name="login"),
        path("logout/", require_POST(for_all(_sign_out)), name="logout"),
        path("security/second-factor/", for_all(views.verify, views.refuse_code), name="second_factor"),
        path("security/second-factor/set-up/", for_all(views.set_up, views.refuse_code), name="second_factor_setup"),
        path("security/", for_staff(_overview), name="security"),
        path("security/recovery-codes/", require_POST(for_staff(views.renew_recovery_codes)), name="recovery_codes"),
        path(
            "security/sign-out-everywhere/", require_POST(for_staff(_sign_out_everywhere)), name="sign_out_everywhere"
        ),
    ]


def _refuse_sign_in(request: HttpRequest) -> HttpResponse | None:
    """Refuse a password before the request costs anything. Raises HashingBusy."""
    if request.method != "POST":
        return None
    password_hashing.refuse_if_full()
    name = request.POST.get("username", "").replace("\0", "")  # PostgreSQL compares no NUL; the form refuses it.
    return limits.refuse_if_locked_out(request, name)


def _sign_in(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """Show the form, unless the person is signed in: they chose a colleague's link, or the back button."""
    if request.method == "GET" and context["has_permission"]:
        return HttpResponseRedirect(views.next_page(request))
    shown = context | {"title": _("Log in"), "subtitle": None, "app_path": request.get_full_path()}
    shown |= {"username": request.user.get_username(), REDIRECT_FIELD_NAME: views.next_page(request)}
    return views.SignIn.as_view(extra_context=shown)(request)


def _sign_out(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    user = unverified_user(request) or request.user
    if user.is_authenticated:
        events.record(events.Action.SIGNED_OUT, request, user)
    logout(request)
    shown = context | {"title": _("Logged out"), "has_permission": False}
    return TemplateResponse(request, "registration/logged_out.html", shown)


def _overview(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show the person's own second factor and sessions."""
    device = second_factor.find_device(request.user)
    left = RecoveryCode.objects.filter(user=request.user.pk).count()
    page = context | {"title": _("Sign-in and security"), "device": device, "codes_left": left}
    return TemplateResponse(request, "admin/sign_in/overview.html", page)


def _sign_out_everywhere(request: HttpRequest, _context: dict[str, Any]) -> HttpResponse:
    """End all sessions of the person, this one included."""
    staff_accounts.end_sessions(request.user)
    events.record(events.Action.SESSIONS_ENDED, request, request.user)
    logout(request)
    return redirect(reverse("admin:login"))
