"""The pages of signing in: name and password, the second factor, one's own sessions."""

from typing import Any

import segno
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connector_project.core import password_hashing
from connector_project.core.admin.password_forms import ChangeOwnPassword
from connector_project.operations.sign_in import events, limits, sessions
from connector_project.operations.sign_in.forms import CodeForm, SignInForm
from connector_project.operations.sign_in.middleware import unverified_user
from tenants import second_factor
from tenants.models import TotpDevice

Action = events.Action


class SignIn(LoginView):
    """Name and password."""

    authentication_form = SignInForm
    template_name = "admin/login.html"

    def form_valid(self, form: Any) -> HttpResponseRedirect:
        user = form.get_user()
        login(self.request, user)
        if not sessions.needs_second_factor(self.request):
            return _signed_in(self.request, user, self.get_success_url())
        events.record(Action.PASSWORD_ACCEPTED, self.request, user)
        return redirect(reverse("admin:second_factor", query={"next": self.get_success_url()}))


class OwnPassword(PasswordChangeView):
    """A new password ends one's other sessions.

    A wrong old one counts as a failed sign-in: a stolen session could try them all.
    """

    form_class = ChangeOwnPassword
    template_name = "registration/password_change_form.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        password_hashing.refuse_if_full()
        refusal = limits.refuse_if_locked_out(request, request.user.get_username())
        return refusal or super().post(request, *args, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        if form.has_error("old_password", "password_incorrect"):
            limits.count_failure(self.request, self.request.user.get_username())
        return super().form_invalid(form)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        events.record(Action.PASSWORD_CHANGED, self.request, self.request.user)
        return response


def verify(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Ask for a code of the app, also of a person who has given one long ago."""
    user = _person(request)
    if user is None:
        return redirect("admin:login")
    if second_factor.find_device(user) is None:
        return redirect(reverse("admin:second_factor_setup", query={"next": next_page(request)}))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        result = second_factor.verify(user, form.cleaned_data["code"], now=now)
        if isinstance(result, second_factor.Verified):
            if result.by_recovery_code:
                events.record(Action.RECOVERY_CODE_USED, request, user, now=now)
            return _verified(request, user, result.device)
        _refuse(request, user, form, result)
    page = context | {"title": _("Second factor"), "form": form, "next": next_page(request)}
    return TemplateResponse(request, "admin/sign_in/second_factor.html", page)


def set_up(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Set up an authenticator app: at the first sign-in, or again by a person who has just given a code."""
    user = _person(request)
    if user is None:
        return redirect("admin:login")
    now = timezone.now()
    may_replace = unverified_user(request) is None and sessions.is_recently_verified(request, now=now)
    if second_factor.find_device(user) is not None and not may_replace:
        return redirect(reverse("admin:second_factor", query={"next": request.get_full_path()}))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        known = request.session.get(sessions.PENDING)
        result = second_factor.confirm(user, form.cleaned_data["code"], known=known, may_replace=may_replace, now=now)
        if isinstance(result, list):
            return _finish_setup(request, user, result, context)
        _refuse(request, user, form, result)
    device = second_factor.prepare(user, known=request.session.get(sessions.PENDING))
    request.session[sessions.PENDING] = device.pk
    page = context | {
        "title": _("Set up the second factor"),
        "form": form,
        "next": next_page(request),
        "qr_code": segno.make(second_factor.setup_url(device)).svg_inline(scale=5, light="white"),
        "secret": " ".join(device.secret[at : at + 4] for at in range(0, len(device.secret), 4)),
    }
    return TemplateResponse(request, "admin/sign_in/set_up.html", page)


def renew_recovery_codes(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show new recovery codes to a person who has just given a code."""
    if second_factor.find_device(request.user) is None:
        return redirect("admin:second_factor_setup")
    if not sessions.is_recently_verified(request, now=timezone.now()):
        return redirect(reverse("admin:second_factor", query={"next": reverse("admin:security")}))
    events.record(Action.RECOVERY_CODES_RENEWED, request, request.user)
    return _show_codes(request, second_factor.renew_recovery_codes(request.user), context)


def refuse_code(request: HttpRequest) -> HttpResponse | None:
    """Refuse a code from somebody who is locked out."""
    user = _person(request)
    return limits.refuse_if_locked_out(request, user.get_username()) if request.method == "POST" and user else None


def next_page(request: HttpRequest) -> str:
    """Return where the person wanted to go; the overview, if that is not a page of ours."""
    where = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(where, {request.get_host()}, require_https=request.is_secure())
    return where if is_ours else reverse("admin:index")


def _person(request: HttpRequest) -> Any:
    """Return who has given the password, and maybe the second factor too."""
    return unverified_user(request) or (request.user if request.user.is_authenticated else None)


def _signed_in(request: HttpRequest, user: Any, where: str) -> HttpResponseRedirect:
    limits.forget_failures(request, user.get_username())
    events.record(Action.SIGNED_IN, request, user)
    return HttpResponseRedirect(where)


def _verified(request: HttpRequest, user: Any, device: TotpDevice) -> HttpResponseRedirect:
    is_sign_in = unverified_user(request) is not None
    request.user = user
    sessions.verify(request, device, now=timezone.now())
    return _signed_in(request, user, next_page(request)) if is_sign_in else HttpResponseRedirect(next_page(request))


def _finish_setup(request: HttpRequest, user: Any, codes: list[str], context: dict[str, Any]) -> HttpResponse:
    """Verify this session; the person's other sessions have ended."""
    device = second_factor.find_device(user)
    assert device is not None  # noqa: S101 -- it was confirmed just now
    is_sign_in = unverified_user(request) is not None
    request.user = user
    update_session_auth_hash(request, user)
    sessions.verify(request, device, now=timezone.now())
    events.record(Action.SECOND_FACTOR_SET, request, user)
    if is_sign_in:
        _signed_in(request, user, next_page(request))
    return _show_codes(request, codes, context)


def _show_codes(request: HttpRequest, codes: list[str], context: dict[str, Any]) -> HttpResponse:
    page = context | {"title": _("Recovery codes"), "codes": codes, "next": next_page(request)}
    return TemplateResponse(request, "admin/sign_in/recovery_codes.html", page)


def _refuse(request: HttpRequest, user: Any, form: CodeForm, result: object) -> None:
    """Say why a code was not accepted; only a wrong one counts as a failure."""
    if isinstance(result, second_factor.Paused):
        seconds = result.seconds
        text = ngettext(
            "Wait %(seconds)d second and enter the code again.",
            "Wait %(seconds)d seconds and enter the code again.",
            seconds,
        )
        return form.add_error("code", text % {"seconds": seconds})
    limits.count_failure(request, user.get_username())
    form.add_error("code", _("This code is wrong, or has been used. Wait for the next one and enter it."))
