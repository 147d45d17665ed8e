"""What each button of a client's page does, and when it is refused. Each function returns a message."""

from datetime import datetime

from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.core.task_queue import enqueue
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, page_context
from crm import integration_module
from telephony import task_names
from telephony.calls import steps
from telephony.recordings import links
from tenants import datetime_display
from tenants.audit import Actor
from tenants.models import Tenant

OFFBOARDED = _("The client is disconnected.")
NO_KEYS = _("The keys are missing. Enter them below, or send the client the link.")


class ActionNotAllowed(Exception):
    """The action is not possible now; the text says why."""


def is_checking(tenant: Tenant, *, now: datetime) -> bool:
    return runner.is_running(getattr(tenant, "check_run", None), now=now)


def check(tenant: Tenant, now: datetime) -> str:
    runner.request_run(tenant, now=now)
    return gettext("The check is running; reload this page in a few seconds.")


def check_refusal(tenant: Tenant, now: datetime) -> Text:
    if tenant.offboarded_at:
        return OFFBOARDED
    return _("A check is already running.") if is_checking(tenant, now=now) else ""


def activate(tenant: Tenant, now: datetime) -> str:
    activation.start(tenant, now=now)
    return gettext("Activation started; reload this page in a few seconds.")


def activate_refusal(tenant: Tenant, _now: datetime) -> Text:
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return _("Activation is already running.")
    if tenant.is_paused:
        return _("The client is paused. Resume first.")
    if activation.is_healthy(tenant, runner.stored_results(getattr(tenant, "check_run", None))):
        return _("The client is already active.")
    return NO_KEYS if page_context.missing(tenant) else ""


def pause(tenant: Tenant, _now: datetime) -> str:
    tenant.pause()
    return gettext("The client is paused.")


def resume(tenant: Tenant, now: datetime) -> str:
    tenant.resume()
    steps.resume_due(tenant_id=tenant.pk, now=now)
    return gettext("The client is active again; what was stored is being processed.")


def resume_refusal(tenant: Tenant, _now: datetime) -> Text:
    if tenant.offboarded_at:
        return OFFBOARDED
    return "" if tenant.is_paused else _("The client is not paused.")


def sync(tenant: Tenant, _now: datetime) -> str:
    enqueue(task_names.SYNC_EMPLOYEES, tenant.pk)
    return gettext("Employees and numbers are being loaded; reload this page in a minute.")


def sync_refusal(tenant: Tenant, _now: datetime) -> Text:
    if not tenant.is_live:
        return _("The client is not active.")
    return _("UIS denies access. Fix that first.") if tenant.uis.denied_at else ""


def import_refusal(tenant: Tenant, _now: datetime) -> Text:
    """Refuse if UIS cannot be asked, or the calls would be imported without their managers."""
    if tenant.offboarded_at:
        return OFFBOARDED
    if tenant.activated_at is None:
        return _("The client is not active yet. Activate first: then calls get the right managers.")
    return "" if tenant.uis.access_token else NO_KEYS


def renew_link_refusal(tenant: Tenant, _now: datetime) -> Text:
    return OFFBOARDED if tenant.offboarded_at else ""


def renew_link(tenant: Tenant, now: datetime) -> str:
    tenant.renew_activation_link(now=now)
    _update_module(tenant)
    return link_message(tenant)


def link_message(tenant: Tenant) -> str:
    message = gettext(
        "The activation link, shown only now. Copy it and send it to the client; it is valid until %(day)s."
    )
    day = datetime_display.day(tenant, tenant.activation_expires_at or tenant.created_at)
    return format_html(
        '{}<br><code class="admin-link">{}</code>', message % {"day": day}, integration_module.activation_url(tenant)
    )


def revoke_link(tenant: Tenant, now: datetime) -> str:
    tenant.revoke_activation_link(now=now)
    _update_module(tenant)
    return gettext("The activation link is no longer valid.")


def revoke_link_refusal(tenant: Tenant, now: datetime) -> Text:
    is_valid = tenant.activation_expires_at is not None and tenant.activation_expires_at > now
    return "" if is_valid else _("There is no valid activation link.")


def rotate(tenant: Tenant, now: datetime) -> str:
    tenant.uis.rotate_hook(now=now)
    _update_module(tenant)
    return gettext("The webhook URL is changed. The client must enter the new one in UIS within 24 hours.")


def _update_module(tenant: Tenant) -> None:
    """Update our URLs in the CRM; if it denies access, they are updated once access is back."""
    if tenant.activated_at and not tenant.crm.denied_at:
        enqueue(integration_module.TASK, tenant.pk)


def rotate_refusal(tenant: Tenant, now: datetime) -> Text:
    """Refuse while an old URL is still valid: another rotation would end it early."""
    if tenant.offboarded_at:
        return OFFBOARDED
    if tenant.uis.is_rotating(now=now):
        return _("The webhook URL was changed less than 24 hours ago; the old one still works.")
    return ""


def revoke_links(tenant: Tenant, now: datetime) -> str:
    links.revoke_all(tenant, now=now)
    return gettext("All recording links issued so far are revoked.")


def revoke_links_refusal(tenant: Tenant, _now: datetime) -> Text:
    if tenant.offboarded_at:
        return OFFBOARDED
    return "" if links.has_open(tenant) else _("The CRM has no working recording links.")


def restore_links(tenant: Tenant, _now: datetime) -> str:
    links.restore_all(tenant)
    return gettext("The recording links work again.")


def restore_links_refusal(tenant: Tenant, _now: datetime) -> Text:
    if tenant.offboarded_at:
        return OFFBOARDED
    return "" if tenant.recording_links_revoked_at else _("The recording links are not revoked.")


def offboard(tenant: Tenant, now: datetime, by: Actor) -> str:
    done = offboarding.offboard(tenant, now=now, by=by)
    return " ".join([gettext("The client is disconnected."), *done.lines])


def pause_refusal(tenant: Tenant, _now: datetime) -> Text:
    return "" if tenant.is_live else _("The client is not active.")


def offboard_refusal(tenant: Tenant, _now: datetime) -> Text:
    return OFFBOARDED if tenant.offboarded_at else ""


def noop(_tenant: Tenant, _now: datetime) -> str:
    return ""
