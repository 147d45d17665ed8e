"""What each button of a client's page does, and when it is refused. Each function returns a message."""

from datetime import datetime

from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.queue import enqueue
from crm import checkup, journey, leaving, module, progress
from crm.models import Activation
from telephony import calls, links, route
from tenants import clock
from tenants.finding import Text
from tenants.journal import By
from tenants.models import Tenant

LEFT = _("The client is disconnected.")
NO_KEYS = _("The keys are missing. Enter them below, or send the client the link.")


class Refused(Exception):
    """The action is not possible now; the text says why."""


def is_looking(tenant: Tenant, *, now: datetime) -> bool:
    return checkup.is_running(getattr(tenant, "checkup", None), now=now)


def check(tenant: Tenant, now: datetime) -> str:
    checkup.ask(tenant, now=now)
    return gettext("The check is running; reload this page in a few seconds.")


def no_check(tenant: Tenant, now: datetime) -> Text:
    if tenant.left_at:
        return LEFT
    return _("A check is already running.") if is_looking(tenant, now=now) else ""


def activate(tenant: Tenant, now: datetime) -> str:
    progress.press(tenant, now=now)
    return gettext("Activation started; reload this page in a few seconds.")


def no_activation(tenant: Tenant, _now: datetime) -> Text:
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return _("Activation is already running.")
    if tenant.is_paused:
        return _("The client is paused. Resume first.")
    if progress.is_well(tenant, checkup.kept(getattr(tenant, "checkup", None))):
        return _("The client is already active.")
    return NO_KEYS if journey.missing(tenant) else ""


def pause(tenant: Tenant, _now: datetime) -> str:
    tenant.pause()
    return gettext("The client is paused.")


def resume(tenant: Tenant, now: datetime) -> str:
    tenant.resume()
    calls.resume_due(tenant, now=now)
    return gettext("The client is active again; what was stored is being processed.")


def no_resuming(tenant: Tenant, _now: datetime) -> Text:
    if tenant.left_at:
        return LEFT
    return "" if tenant.is_paused else _("The client is not paused.")


def sync(tenant: Tenant, _now: datetime) -> str:
    enqueue(route.SYNC, tenant.pk)
    return gettext("Employees and numbers are being loaded; reload this page in a minute.")


def no_sync(tenant: Tenant, _now: datetime) -> Text:
    if not tenant.is_live:
        return _("The client is not active.")
    return _("UIS denies access. Fix that first.") if tenant.uis.denied_at else ""


def no_takeover(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where UIS cannot be asked, or the calls would be imported without their managers."""
    if tenant.left_at:
        return LEFT
    if tenant.activated_at is None:
        return _("The client is not active yet. Activate first: then calls get the right managers.")
    return "" if tenant.uis.access_token else NO_KEYS


def no_link(tenant: Tenant, _now: datetime) -> Text:
    return LEFT if tenant.left_at else ""


def make_link(tenant: Tenant, now: datetime) -> str:
    tenant.new_link(now=now)
    _update_module(tenant)
    return link_message(tenant)


def link_message(tenant: Tenant) -> str:
    message = gettext(
        "The activation link, shown only now. Copy it and send it to the client; it is valid until %(day)s."
    )
    day = clock.day(tenant, tenant.activation_expires_at or tenant.created_at)
    return format_html('{}<br><code class="desk-link">{}</code>', message % {"day": day}, module.activation_url(tenant))


def revoke_link(tenant: Tenant, now: datetime) -> str:
    tenant.revoke_link(now=now)
    _update_module(tenant)
    return gettext("The activation link is no longer valid.")


def no_revoking(tenant: Tenant, now: datetime) -> Text:
    is_valid = tenant.activation_expires_at is not None and tenant.activation_expires_at > now
    return "" if is_valid else _("There is no valid activation link.")


def rotate(tenant: Tenant, now: datetime) -> str:
    tenant.uis.rotate(now=now)
    _update_module(tenant)
    return gettext("The webhook URL is changed. The client must enter the new one in UIS within 24 hours.")


def _update_module(tenant: Tenant) -> None:
    """Update our URLs in the CRM; if it denies access, they are updated once access is back."""
    if tenant.activated_at and not tenant.crm.denied_at:
        enqueue(module.TASK, tenant.pk)


def no_rotation(tenant: Tenant, now: datetime) -> Text:
    """Refuse while an old URL is still valid: another rotation would end it early."""
    if tenant.left_at:
        return LEFT
    if tenant.uis.is_rotating(now=now):
        return _("The webhook URL was changed less than 24 hours ago; the old one still works.")
    return ""


def withdraw_links(tenant: Tenant, now: datetime) -> str:
    links.withdraw_all(tenant, now=now)
    return gettext("All recording links issued so far are revoked.")


def no_withdrawing(tenant: Tenant, _now: datetime) -> Text:
    if tenant.left_at:
        return LEFT
    return "" if links.has_open(tenant) else _("The CRM has no working recording links.")


def give_links(tenant: Tenant, _now: datetime) -> str:
    links.give_all_again(tenant)
    return gettext("The recording links work again.")


def no_giving(tenant: Tenant, _now: datetime) -> Text:
    if tenant.left_at:
        return LEFT
    return "" if tenant.links_withdrawn_at else _("The recording links are not revoked.")


def leave(tenant: Tenant, now: datetime, by: By) -> str:
    done = leaving.leave(tenant, now=now, by=by)
    return " ".join([gettext("The client is disconnected."), *done.lines])


def no_pause(tenant: Tenant, _now: datetime) -> Text:
    return "" if tenant.is_live else _("The client is not active.")


def no_leaving(tenant: Tenant, _now: datetime) -> Text:
    return LEFT if tenant.left_at else ""


def nothing(_tenant: Tenant, _now: datetime) -> str:
    return ""
