"""The client's page: opened by a secret link without an account; each form is one action."""

import hmac
from collections.abc import Callable

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from connector_project.core import phone_numbers
from connector_project.core.task_queue import enqueue
from connector_project.core.untrusted_input import parse_id
from connector_project.operations.checks import runner
from connector_project.operations.onboarding import activation, page_context, registrations, sample_popup
from connector_project.operations.onboarding.forms import KeysForm
from connector_project.operations.onboarding.secret_link import SecretLinkView
from telephony import task_names
from tenants import audit
from tenants.models import AuditLogEntry, Employee, Tenant, VirtualNumber

Action = AuditLogEntry.Action


class ClientPage(SecretLinkView):
    """The onboarding page of one client, from two keys to the first pop-up; the CRM may open it by POST."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        tenant = _find(token)
        if tenant is None:
            if request.method == "HEAD":
                raise Http404  # Mail filters and messengers prefetch links; that must not consume a one-time link.
            return _sign_in(token)
        return _page(request, tenant)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        tenant = _find(token)
        if tenant is None:
            raise Http404
        if "do" not in request.POST:
            return _opened_from_crm(request, tenant)
        if not _is_valid(tenant):
            return _page(request, tenant)
        try:
            return _act(request, tenant)
        except activation.ClientHasLeft as exc:
            raise Http404 from exc


def _act(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    """Run the action of a form. Raises ClientHasLeft."""
    if not activation.count_action(tenant, now=timezone.now()):
        messages.error(request, _("Too many attempts. Try again in ten minutes."))
        return _page(request, tenant, status=429)
    action = ACTIONS.get(request.POST["do"])
    return action(request, tenant) if action else _back(tenant)


def _find(token: str) -> Tenant | None:
    return Tenant.objects.by_activation_token(token).select_related("uis", "crm", "rule_version").first()


def _lock(tenant: Tenant) -> Tenant:
    """Lock the client of an action. Raises Http404 if they were disconnected just now: the link no longer works."""
    locked = Tenant.objects.lock(tenant.pk)
    if locked is None or locked.offboarded_at is not None:
        raise Http404
    return locked


def _sign_in(token: str) -> HttpResponse:
    """Consume a one-time link and redirect to the page."""
    with transaction.atomic():
        known = Tenant.objects.filter(one_time_token_digest__of=token, offboarded_at=None)
        tenant = known.select_for_update(no_key=True).first()
        if tenant is None:
            raise Http404
        Tenant.objects.filter(pk=tenant.pk).update(one_time_token_digest=None)
    return redirect("activate", token=tenant.activation_token)


def _is_valid(tenant: Tenant) -> bool:
    return tenant.has_activation_link(now=timezone.now())


def _opened_from_crm(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    """Show the page to a user of our module in the CRM; their clientId authenticates, so an expired link is renewed.

    One that an operator has revoked is not: it opens a notice for the operators.
    """
    is_known = hmac.compare_digest(request.POST.get("clientId", "").encode(), tenant.crm.client_id.encode())
    if not is_known or _is_valid(tenant):
        return _page(request, tenant)
    with transaction.atomic():
        tenant = _lock(tenant)
        if tenant.needs_approval:
            registrations.ask_approval(tenant, now=timezone.now())
            return _page(request, tenant)
        tenant.renew_activation_link(now=timezone.now())
        enqueue(task_names.LINK_USERS, tenant.pk)  # The module still has the expired link.
    return _back(tenant)


def _page(request: HttpRequest, tenant: Tenant, *, form: KeysForm | None = None, status: int = 200) -> HttpResponse:
    """Render the page, with the rejected input if there is any; after the link has expired, only that."""
    if not _is_valid(tenant):
        return render(request, "activation/expired.html", status=410)
    page, typed = page_context.OnboardingPage(tenant, now=timezone.now()), request.POST
    context = {"page": page, "form": form or KeysForm(tenant), "sample": _open_sample(request, page), "typed": typed}
    return render(request, "activation/page.html", context, status=status)


def _open_sample(request: HttpRequest, page: page_context.OnboardingPage) -> dict[str, object] | None:
    """Return the open test pop-up named in the query string."""
    person = next((one for one in page.employees if str(one.pk) == request.GET.get("person")), None)
    if person is None or "card" not in request.GET:
        return None
    return {"person": person, "id": request.GET["card"], "contact": request.GET.get("contact", "")}


def _back(tenant: Tenant, **query: object) -> HttpResponse:
    answer = redirect(reverse("activate", args=[tenant.activation_token], query=query))
    answer.status_code = 303  # See Other: redirect with GET.
    return answer


def _keys(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    """Store the keys; if both are there, start the activation."""
    with transaction.atomic():
        tenant = _lock(tenant)
        form = KeysForm(tenant, request.POST)
        if not form.is_valid():
            return _page(request, tenant, form=form, status=422)
        changed = form.save()
        for part in changed:
            action = Action.KEY_DELETED if part == tenant.crm and not tenant.crm.key else Action.KEY_SET
            audit.log(tenant, action, now=timezone.now(), by_client=True, target=part)
    if missing := page_context.missing(tenant):
        text = _("Saved. Still missing: %(what)s.") if changed else _("Nothing entered. Missing: %(what)s.")
        messages.warning(request, text % {"what": ", ".join(missing)})
        return _back(tenant)
    return _activate(request, tenant, is_forced=bool(changed))


def _activate(_request: HttpRequest, tenant: Tenant, *, is_forced: bool = False) -> HttpResponse:
    now = timezone.now()
    before = getattr(tenant, "activation", None)
    after = activation.start(tenant, now=now, is_forced=is_forced, by_client=True)
    if before is None or before.started_at != after.started_at:
        audit.log(tenant, Action.ACTIVATED, now=now, by_client=True)
    return _back(tenant)


@transaction.atomic
def _check(_request: HttpRequest, tenant: Tenant) -> HttpResponse:
    runner.request_run(_lock(tenant), now=timezone.now())
    return _back(tenant)


def _number(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    """Set the caller ID of calls from the CRM."""
    own, now = VirtualNumber.objects.filter(tenant=tenant, is_active=True), timezone.now()
    with transaction.atomic():
        tenant = _lock(tenant)
        chosen = own.filter(pk=_id(request, "number")).first()
        if chosen is None:
            messages.error(request, _("Choose a number."))
            return _back(tenant)
        old = VirtualNumber.objects.filter(tenant=tenant, is_default=True).first()
        if old != chosen and request.POST.get("seen") != _seen(old):
            messages.error(request, _("The number has changed since you opened this page. Check it and save again."))
            return _back(tenant)
        VirtualNumber.objects.filter(tenant=tenant).update(is_default=False)
        own.filter(pk=chosen.pk).update(is_default=True)
        audit.log(
            tenant, Action.CHANGED, now=now, by_client=True, target=chosen, field="is_default", old=old, new=chosen
        )
        runner.request_run(tenant, now=now)
    messages.success(request, _("Caller ID for calls from the CRM: %(number)s.") % {"number": chosen})
    return _back(tenant)


def _seen(number: VirtualNumber | None) -> str:
    """Return what the page that shows this default number sends back."""
    return str(number.pk) if number and number.is_active else ""


def _show_sample_popup(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    person, contact = _recipient(request, tenant)
    if person is None:
        messages.error(request, _("Choose a manager and enter a phone number such as +7 900 000-00-00."))
        return _page(request, tenant, status=422)
    try:
        popup_id = sample_popup.send(person, contact=contact, now=timezone.now())
    except sample_popup.NotShown as exc:
        messages.error(request, str(exc))
        return _page(request, tenant, status=422)
    text = _("The CRM accepted the pop-up. %(name)s sees it if they have the CRM open.")
    messages.success(request, text % {"name": person.full_name})
    return _back(tenant, person=person.pk, card=popup_id, contact=phone_numbers.e164(contact))


def _close_sample_popup(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    (person, contact), popup_id = _recipient(request, tenant), request.POST.get("card", "")
    if person is not None and sample_popup.is_sample(popup_id, tenant):
        try:
            sample_popup.close(person, contact=contact, popup_id=popup_id)
            messages.success(request, _("Pop-up closed."))
        except sample_popup.NotShown as exc:
            messages.error(request, str(exc))
    return _back(tenant)


def _recipient(request: HttpRequest, tenant: Tenant) -> tuple[Employee | None, str]:
    """Return the chosen manager and the caller's number; no manager if the number is not a valid one."""
    typed = phone_numbers.from_person(request.POST.get("contact"), region=tenant.uis.region)
    chosen = page_context.linked_employees(tenant).filter(pk=_id(request, "person")).select_related("tenant__crm")
    return (chosen.first(), typed.digits) if typed else (None, "")


def _id(request: HttpRequest, name: str) -> int:
    return parse_id(request.POST.get(name)) or 0


ACTIONS: dict[str, Callable[[HttpRequest, Tenant], HttpResponse]] = {
    "keys": _keys,
    "activate": _activate,
    "check": _check,
    "number": _number,
    "card": _show_sample_popup,
    "close": _close_sample_popup,
}
