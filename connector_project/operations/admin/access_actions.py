"""The actions on what lets others in: links to the client's page, webhook URLs, recording links, reconnection."""

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.operations.admin.activation_link import link_message, reconnect_message
from connector_project.operations.admin.tenant_action import IF_OFFBOARDED, TenantAction
from connector_project.operations.onboarding import reconnect
from crm import outdated_modules
from telephony.recordings import links
from tenants.models import AuditLogEntry, ReconnectLink, Tenant

AuditAction = AuditLogEntry.Action


def _rotate_hooks(tenant: Tenant, now: datetime) -> None:
    """Replace both secrets; only UIS's old one works for a while, because people must enter the new one there."""
    tenant.uis.rotate_hook(now=now)
    tenant.crm.rotate_hook()


def _revoke_hooks(tenant: Tenant, now: datetime) -> None:
    tenant.uis.revoke_hook(now=now)
    tenant.crm.replace_secrets()
    outdated_modules.request_registration(tenant, now=now, is_urgent=True)


def _revoke_links(tenant: Tenant, now: datetime) -> None:
    tenant.revoke_activation_link(now=now)
    ReconnectLink.objects.filter(tenant=tenant).delete()


def _with_page(text: Text) -> Callable[[Tenant], str]:
    """Return the message that tells what to enter anew; without a valid link the client cannot see it."""

    def message(tenant: Tenant) -> str:
        if tenant.has_activation_link(now=timezone.now()):
            return str(text)
        hint = gettext("Their link to the page is not valid: press “New activation link” and send it to them.")
        return f"{text} {hint}"

    return message


def _hooks(tenant: Tenant) -> str:
    """Return what changes with the webhook URLs, and is no secret itself."""
    return f"{tenant.uis.hook_digest}{tenant.crm.hook_digest}"


ACCESS_ACTIONS = (
    TenantAction(
        name="reconnect",
        label=_("Reconnect: link for a new key"),
        audit_action=AuditAction.RECONNECT_LINK_CREATED,
        refusals=(IF_OFFBOARDED, (lambda tenant, _now: not reconnect.broken(tenant), _("No key is rejected."))),
        handler=lambda tenant, now: reconnect.create_link(tenant, now=now),
        done=reconnect_message,
        css_class="main",
    ),
    TenantAction(
        name="renew_link",
        label=_("New activation link"),
        audit_action=AuditAction.ACTIVATION_LINK_RENEWED,
        refusals=(IF_OFFBOARDED,),
        handler=lambda tenant, now: tenant.renew_activation_link(now=now),
        done=link_message,
        updates_module=True,
        confirm=_("Create a new link"),
        warnings=(
            _("The old link stops working at once."),
            _("The new link is shown once and works for 14 days. Copy it and send it to the client."),
        ),
    ),
    TenantAction(
        name="revoke_link",
        label=_("Revoke the activation link"),
        audit_action=AuditAction.ACTIVATION_LINK_REVOKED,
        refusals=(
            (  # The CRM could renew an expired one.
                lambda tenant, now: tenant.needs_approval and not tenant.has_activation_link(now=now),
                _("There is no valid activation link."),
            ),
        ),
        handler=_revoke_links,
        done=_("The activation link is no longer valid."),
        updates_module=True,
        confirm=_("Revoke the link"),
        warnings=(
            _("The client can no longer open their page with any link, nor from the CRM."),
            _("The set-up keeps working. A new link can be created at any time."),
        ),
    ),
    TenantAction(
        name="rotate",
        label=_("Rotate webhook URL"),
        audit_action=AuditAction.HOOK_ROTATED,
        refusals=(
            IF_OFFBOARDED,
            (  # Another rotation would end the old URL early.
                lambda tenant, now: tenant.uis.is_rotating(now=now),
                _("The webhook URL was changed less than 24 hours ago; the old one still works."),
            ),
        ),
        handler=_rotate_hooks,
        done=_with_page(_("The webhook URL is changed. The client must enter the new one in UIS within 24 hours.")),
        updates_module=True,
        version=_hooks,
        warnings=(
            _("UIS and the CRM send to secret URLs. Their secret parts are replaced."),
            _("The CRM gets its new URL automatically; until then a click on a number there starts no call."),
            _(
                "The client must enter the new URL in each notification in UIS within 24 hours; their page shows it. "
                "After that the old URL stops working, and calls are lost."
            ),
        ),
    ),
    TenantAction(
        name="revoke_hooks",
        label=_("It leaked: revoke now"),
        audit_action=AuditAction.HOOK_REVOKED,
        refusals=(IF_OFFBOARDED,),
        handler=_revoke_hooks,
        done=_with_page(
            _(
                "The old webhook URLs no longer work. The client must enter the new one in each notification in UIS "
                "now; their page shows it."
            )
        ),
        version=_hooks,
        css_class="danger",
        confirm=_("Revoke now"),
        warnings=(
            _("Use it when a webhook URL became known to others: every old one stops working at once, also in UIS."),
            _(
                "Until the client has entered the new URL in UIS, no pop-up opens and no notification arrives. Calls "
                "of this time are uploaded later, from UIS's report."
            ),
            _(
                "The CRM gets new URLs and a new clientId automatically; until then a click on a number there starts "
                "no call."
            ),
        ),
    ),
    TenantAction(
        name="allow_return",
        label=_("Allow to reconnect"),
        audit_action=AuditAction.RECONNECTION_ALLOWED,
        refusals=((lambda tenant, _now: not tenant.needs_approval, _("The client needs no permission to reconnect.")),),
        handler=lambda tenant, _now: tenant.approve(),
        done=_("The client can connect from the CRM again."),
        confirm=_("Allow"),
        warnings=(
            _("An operator disconnected this client or revoked their link: nothing the client does can undo that."),
            _("“Connect” in the CRM's marketplace, or our module there, opens the client's page again from now on."),
        ),
    ),
    TenantAction(
        name="revoke_recording_links",
        label=_("Revoke recording links"),
        audit_action=AuditAction.RECORDING_LINK_REVOKED,
        refusals=(
            IF_OFFBOARDED,
            (lambda tenant, _now: not links.has_open(tenant), _("The CRM has no working recording links.")),
        ),
        handler=lambda tenant, now: links.revoke_all(tenant, now=now),
        done=_("All recording links issued so far are revoked."),
        confirm=_("Revoke all links"),
        warnings=(
            _("The recording links sent to the CRM so far stop working. The recordings stay at UIS."),
            _("Calls uploaded from now on get working links, if the client's rules include recordings."),
            _("The links can be restored, all together here or one by one on the page of a call."),
        ),
    ),
    TenantAction(
        name="restore_recording_links",
        label=_("Restore recording links"),
        audit_action=AuditAction.RECORDING_LINK_RESTORED,
        refusals=(
            IF_OFFBOARDED,
            (lambda tenant, _now: not tenant.recording_links_revoked_at, _("The recording links are not revoked.")),
        ),
        handler=lambda tenant, _now: links.restore_all(tenant),
        done=_("The recording links work again."),
        confirm=_("Restore links"),
        warnings=(_("Links revoked together work again; those revoked one by one do not."),),
    ),
)
