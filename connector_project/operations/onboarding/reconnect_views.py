"""The page that asks a client for the key that a vendor no longer accepts, and for nothing else."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.edit_forms import SecretField
from connector_project.operations.alerts import denials
from connector_project.operations.onboarding import activation, reconnect
from connector_project.operations.onboarding.secret_link import SecretLinkView
from crm import api_scopes
from tenants.models import ReconnectLink, Tenant

LABELS = {reconnect.UIS: _("UIS access key"), reconnect.CRM: _("CRM API key")}


class KeyForm(forms.Form):
    """The key of one connection."""

    key = SecretField()

    def __init__(self, name: str, data: Any = None) -> None:
        super().__init__(data, auto_id=f"{name}-%s")
        self.name = name
        self.fields["key"].label = LABELS[name]
        self.fields["key"].widget.attrs["aria-describedby"] = f"hint-{name}"

    def add_error(self, field: str | None, error: Any) -> None:
        """Link the error to its input for screen readers."""
        super().add_error(field, error)
        self.fields["key"].widget.attrs.update({"aria-invalid": "true", "aria-describedby": f"error-{self.name}"})

    def clean_key(self) -> str:
        if not self.cleaned_data["key"]:
            raise forms.ValidationError(gettext("Enter the key."))
        return str(self.cleaned_data["key"])


class ReconnectPage(SecretLinkView):
    """Opening it changes nothing: mail filters and messengers prefetch links. The accepted key ends the link."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        link = _find(token)
        return _closed(request) if not link.is_open(now=timezone.now()) else _page(request, link)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        link, now = _find(token), timezone.now()
        name = request.POST.get("system", "")
        if not link.is_open(now=now):
            return _closed(request)
        if name not in reconnect.asked(link, link.tenant):
            return _page(request, link)
        try:
            return _replace(request, link, KeyForm(name, request.POST))
        except (activation.ClientHasLeft, reconnect.LinkEnded):
            return self.get(request, token)


def _find(token: str) -> ReconnectLink:
    """Return the link of a token, also one that has ended. Raises Http404."""
    links = ReconnectLink.objects.select_related("tenant__uis", "tenant__crm")
    link = links.filter(token_digest__of=token, tenant__offboarded_at=None).first()
    if link is None:
        raise Http404
    return link


def _replace(request: HttpRequest, link: ReconnectLink, form: KeyForm) -> HttpResponse:
    """Replace the key that was entered. Raises ClientHasLeft and LinkEnded."""
    now = timezone.now()
    if not activation.count_action(link.tenant, now=now):
        form.add_error("key", gettext("Too many attempts. Try again in ten minutes."))
        return _page(request, link, form=form, status=429)
    if not form.is_valid():
        return _page(request, link, form=form, status=422)
    try:
        reconnect.replace_key(link, link.tenant, form.name, form.cleaned_data["key"], now=now)
    except reconnect.KeyRefused as exc:
        form.add_error("key", str(exc))
        return _page(request, link, form=form, status=422)
    link = ReconnectLink.objects.select_related("tenant__uis", "tenant__crm").get(pk=link.pk)
    return _page(request, link, done=LABELS[form.name])


def _page(
    request: HttpRequest, link: ReconnectLink, *, form: KeyForm | None = None, done: object = "", status: int = 200
) -> HttpResponse:
    """Render a form for each key that is still asked for; `done` names the one that was just accepted."""
    names = reconnect.asked(link, link.tenant)
    asked = [
        {
            "name": name,
            "form": form if form and form.name == name else KeyForm(name),
            "reason": _reason(link.tenant, name),
        }
        for name in names
    ]
    context = {"client": link.tenant.name, "asked": asked, "done": done, "scopes": tuple(api_scopes.SCOPES)}
    return render(request, "activation/reconnect.html", context, status=status)


def _reason(tenant: Tenant, name: str) -> str:
    """Return why the key is asked for, in words."""
    return denials.describe(getattr(tenant, name).denied_code)


def _closed(request: HttpRequest) -> HttpResponse:
    return render(request, "activation/reconnect_closed.html", status=410)
