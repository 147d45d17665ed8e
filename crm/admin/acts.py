"""What each button of a client's page does, and when it makes no sense. Each returns what to say."""

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

LEFT = _("The client has left.")
NO_KEYS = _("The keys are missing. Enter them below, or send the client the link.")


class Refused(Exception):
    """The button makes no sense now; the text says why."""


def is_looking(tenant: Tenant, *, now: datetime) -> bool:
    """Whether a worker is looking at the client, or about to."""
    return checkup.is_running(getattr(tenant, "checkup", None), now=now)


def check(tenant: Tenant, now: datetime) -> str:
    """Have a worker look at both sides."""
    checkup.ask(tenant, now=now)
    return gettext("The check is running; reload this page in a few seconds.")


def no_check(tenant: Tenant, now: datetime) -> Text:
    """Refuse a look while there is one, and at who has left."""
    if tenant.left_at:
        return LEFT
    return _("A check is under way already.") if is_looking(tenant, now=now) else ""


def activate(tenant: Tenant, now: datetime) -> str:
    """Do what the client's own button does."""
    progress.press(tenant, now=now)
    return gettext("Activation has begun; reload this page in a few seconds.")


def no_activation(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where it would change nothing."""
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return _("Activation is under way already.")
    if tenant.is_paused:
        return _("The client is paused. Resume him first.")
    if progress.is_well(tenant, checkup.kept(getattr(tenant, "checkup", None))):
        return _("The client is active already.")
    return NO_KEYS if journey.missing(tenant) else ""


def pause(tenant: Tenant, _now: datetime) -> str:
    """Keep what comes in, send nothing."""
    tenant.pause()
    return gettext("The client is paused.")


def resume(tenant: Tenant, now: datetime) -> str:
    """Let what was kept go on its way, at once."""
    tenant.resume()
    calls.resume_due(tenant, now=now)
    return gettext("The client is active again; what was kept goes on its way.")


def no_resuming(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where nothing is kept."""
    if tenant.left_at:
        return LEFT
    return "" if tenant.is_paused else _("The client is not paused.")


def sync(tenant: Tenant, _now: datetime) -> str:
    """Bring people and numbers, and link them."""
    enqueue(route.SYNC, tenant.pk)
    return gettext("Employees and numbers are being loaded; reload this page in a minute.")


def no_sync(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where nothing may be asked."""
    if not tenant.is_live:
        return _("The client is not active.")
    return _("UIS does not let us in. That comes first.") if tenant.uis.denied_at else ""


def no_takeover(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where nobody's calls may be asked for, or would come without the people they belong to."""
    if tenant.left_at:
        return LEFT
    if tenant.activated_at is None:
        return _("The client is not active yet. Activate him first: then his calls come with the right managers.")
    return "" if tenant.uis.access_token else NO_KEYS


def no_link(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where the page it would lead to is shut."""
    return LEFT if tenant.left_at else ""


def make_link(tenant: Tenant, now: datetime) -> str:
    """Make a new link; the one before is dead."""
    tenant.new_link(now=now)
    _tell_crm(tenant)
    return link_message(tenant)


def link_message(tenant: Tenant) -> str:
    """Show the link to the client's page, this once."""
    says = gettext("The activation link, shown only now. Copy it and hand it to the client; it is valid until %(day)s.")
    day = clock.day(tenant, tenant.activation_expires_at or tenant.created_at)
    return format_html('{}<br><code class="desk-link">{}</code>', says % {"day": day}, module.activation_url(tenant))


def revoke_link(tenant: Tenant, now: datetime) -> str:
    """Shut the client's page."""
    tenant.revoke_link(now=now)
    _tell_crm(tenant)
    return gettext("The activation link is no longer valid.")


def no_revoking(tenant: Tenant, now: datetime) -> Text:
    """Refuse where it is shut."""
    is_valid = tenant.activation_expires_at is not None and tenant.activation_expires_at > now
    return "" if is_valid else _("There is no valid activation link.")


def rotate(tenant: Tenant, now: datetime) -> str:
    """Change the secret part of our addresses, and tell the CRM."""
    tenant.uis.rotate(now=now)
    _tell_crm(tenant)
    return gettext("The address is changed. The client must type the new one into UIS within 24 hours.")


def _tell_crm(tenant: Tenant) -> None:
    """Have the module learn our new addresses; a CRM that does not let us in is told once it does."""
    if tenant.activated_at and not tenant.crm.denied_at:
        enqueue(module.TASK, tenant.pk)


def no_rotation(tenant: Tenant, now: datetime) -> Text:
    """Refuse while an old address is still heard: a third one would cut it off."""
    if tenant.left_at:
        return LEFT
    if tenant.uis.is_rotating(now=now):
        return _("The address was changed less than 24 hours ago; the one before is still in use.")
    return ""


def withdraw_links(tenant: Tenant, now: datetime) -> str:
    """Take back every link to a recording that was given until now."""
    links.withdraw_all(tenant, now=now)
    return gettext("All recording links given until now are withdrawn.")


def no_withdrawing(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where no link opens anything."""
    if tenant.left_at:
        return LEFT
    return "" if links.has_open(tenant) else _("The CRM has no recording link of ours that works.")


def give_links(tenant: Tenant, _now: datetime) -> str:
    """Let them open again."""
    links.give_all_again(tenant)
    return gettext("The recording links work again.")


def no_giving(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where they were not taken back together."""
    if tenant.left_at:
        return LEFT
    return "" if tenant.links_withdrawn_at else _("The recording links are not withdrawn.")


def leave(tenant: Tenant, now: datetime, by: By) -> str:
    """See the client off."""
    done = leaving.leave(tenant, now=now, by=by)
    return " ".join([gettext("The client has left."), *done.lines])


def no_pause(tenant: Tenant, _now: datetime) -> Text:
    """Refuse where nothing is sent anyway."""
    return "" if tenant.is_live else _("The client is not active.")


def no_leaving(tenant: Tenant, _now: datetime) -> Text:
    """Refuse a second leave."""
    return LEFT if tenant.left_at else ""


def nothing(_tenant: Tenant, _now: datetime) -> str:
    """Do nothing."""
    return ""
